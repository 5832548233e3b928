#include "probes/certificate/tls_secret.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "unit/support/certificate.hpp"
#include "unit/support/protobuf.hpp"

namespace vitalsd {
namespace {

using test::Message;
using test::metadata;

Message secret(std::string_view certificate, std::string_view key,
               std::string_view type = "kubernetes.io/tls") {
  return Message()
      .message(1, metadata("web"))
      .entry(2, "tls.crt", certificate)
      .entry(2, "tls.key", key)
      .text(3, type);
}

TEST(TlsSecret, ContainsThePublicPart) {
  const test::Certificate made = test::make_certificate("shop.test");
  const std::optional<TlsSecret> web =
      read_tls_secret(test::with_unknown_fields(secret(made.certificate, made.key)).bytes());
  ASSERT_TRUE(web);
  EXPECT_EQ(web->key(), "shop/web");
  EXPECT_EQ(web->fault, "");
  ASSERT_EQ(web->entries.size(), 1U);
  EXPECT_EQ(web->source(web->entries[0]), "shop/web");
  ASSERT_EQ(web->entries[0].certificates.size(), 1U);
  const net::CertificateInfo& certificate = web->entries[0].certificates[0];
  EXPECT_EQ(certificate.common_name, "shop.test");
  EXPECT_GT(certificate.not_after, certificate.not_before);
}

TEST(TlsSecret, IsEqualIfOnlyTheKeyDiffers) {
  const test::Certificate made = test::make_certificate("shop.test");
  const std::string another(5000, 'k');
  EXPECT_EQ(read_tls_secret(secret(made.certificate, made.key).bytes()),
            read_tls_secret(secret(made.certificate, another).bytes()));
}

TEST(TlsSecret, ContainsAChain) {
  const test::Certificate root = test::make_certificate("root.test");
  const test::Certificate made = test::make_certificate("shop.test", root);
  const auto web = read_tls_secret(secret(made.certificate + root.certificate, "").bytes());
  ASSERT_TRUE(web);
  ASSERT_EQ(web->entries.size(), 1U);
  ASSERT_EQ(web->entries[0].certificates.size(), 2U);
  EXPECT_EQ(web->entries[0].certificates[0].common_name, "shop.test");
}

// The sources and the common names of a Secret's certificates.
std::vector<std::string> found(const Message& message) {
  std::vector<std::string> names;
  const std::optional<TlsSecret> secret = read_tls_secret(message.bytes());
  if (!secret) return {"not selected"};
  for (const TlsSecret::Entry& entry : secret->entries) {
    for (const net::CertificateInfo& certificate : entry.certificates)
      names.push_back(secret->source(entry) + ' ' + certificate.common_name);
  }
  if (!secret->fault.empty()) names.push_back(secret->fault);
  return names;
}

TEST(TlsSecret, MayContainItsAuthority) {
  using Names = std::vector<std::string>;
  const test::Certificate made = test::make_certificate("shop.test");
  const std::string authority = test::make_certificate("ca.test").certificate;
  const std::string broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const auto with_authority = [&](std::string_view certificate, std::string_view ca) {
    return found(secret(certificate, made.key).entry(2, "ca.crt", ca).entry(2, "x.pem", authority));
  };
  EXPECT_EQ(with_authority(made.certificate, authority),
            (Names{"shop/web shop.test", "shop/web/ca.crt ca.test"}));
  EXPECT_EQ(with_authority("", authority), (Names{"shop/web/ca.crt ca.test"}));
  EXPECT_EQ(with_authority(made.certificate, ""), (Names{"shop/web shop.test"}));
  EXPECT_EQ(with_authority("", ""), (Names{"tls.crt is empty"}));
  const Names both = with_authority(made.certificate, broken);
  ASSERT_EQ(both.size(), 2U);  // the date of the other entry stays
  EXPECT_EQ(both[0], "shop/web shop.test");
  EXPECT_TRUE(both[1].starts_with("ca.crt has a damaged block in line 1: ")) << both[1];
  EXPECT_EQ(with_authority(made.certificate + "-----END CERTIFICATE-----", authority).back(),
            "tls.crt has a damaged block in line " +
                std::to_string(std::ranges::count(made.certificate, '\n') + 1) +
                ": no line -----BEGIN CERTIFICATE-----");
}

TEST(TlsSecret, MayBeOpaque) {
  using Names = std::vector<std::string>;
  const test::Certificate made = test::make_certificate("shop.test");
  const auto opaque = [&](std::string_view key, std::string_view value) {
    return found(Message()
                     .message(1, metadata("web"))
                     .entry(2, key, value)
                     .entry(2, "password", "swordfish")
                     .entry(2, "key.pem", made.key)
                     .text(3, "Opaque"));
  };
  EXPECT_EQ(opaque("ca.crt", made.certificate), (Names{"shop/web/ca.crt shop.test"}));
  EXPECT_EQ(opaque("client.pem", made.certificate), (Names{"shop/web/client.pem shop.test"}));
  EXPECT_EQ(opaque("root.cer", made.certificate), (Names{"shop/web/root.cer shop.test"}));
  EXPECT_EQ(opaque("tls.crt", made.certificate), (Names{"shop/web shop.test"}));
  EXPECT_EQ(opaque("notes", made.certificate), (Names{"not selected"}));
  EXPECT_EQ(opaque("ca.crt", "later"), (Names{"not selected"}));
}

TEST(TlsSecret, IgnoresSecretsOfOtherTypes) {
  const test::Certificate made = test::make_certificate("shop.test");
  for (const std::string type : {"helm.sh/release.v1", "kubernetes.io/service-account-token", ""}) {
    EXPECT_EQ(read_tls_secret(secret(made.certificate, made.key, type).bytes()), std::nullopt);
  }
  EXPECT_EQ(read_tls_secret(""), std::nullopt);
}

TEST(TlsSecret, ReportsWhyThereIsNoCertificate) {
  const test::Certificate made = test::make_certificate("shop.test");
  const auto fault = [](const Message& message) {
    const std::optional<TlsSecret> web = read_tls_secret(message.bytes());
    EXPECT_TRUE(web && web->entries.empty());
    return web ? web->fault : "";
  };
  EXPECT_EQ(fault(Message().text(3, "kubernetes.io/tls")), "has no entry tls.crt");
  EXPECT_EQ(fault(secret("", made.key)), "tls.crt is empty");
  EXPECT_EQ(fault(secret("certainly not", made.key)), "tls.crt contains no certificate");
  EXPECT_EQ(fault(secret(made.key, made.certificate)),
            "tls.crt contains a private key and no certificate: use the file of the certificate");
  EXPECT_EQ(fault(secret(test::to_der(made.certificate), made.key)),
            "tls.crt is in DER: convert it to PEM");
  const std::string broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const std::string text = fault(secret(broken, made.key));
  EXPECT_TRUE(text.starts_with("tls.crt has a damaged block in line 1: ")) << text;
}

TEST(TlsSecret, DoesNotQuoteTheSecretInAFault) {
  // A truncated private key in place of the certificate.
  const test::Certificate made = test::make_certificate("shop.test");
  const std::string half = made.key.substr(0, made.key.size() / 2);
  const std::optional<TlsSecret> web = read_tls_secret(secret(half, "").bytes());
  ASSERT_TRUE(web);
  EXPECT_NE(web->fault, "");
  const std::size_t begin = half.find('\n') + 1;
  EXPECT_FALSE(web->fault.contains(half.substr(begin, 20))) << web->fault;
}

TEST(TlsSecret, RejectsMalformedBytes) {
  test::expect_hostile_bytes_refused(secret("certainly not", "key").bytes(), &read_tls_secret);
}

}  // namespace
}  // namespace vitalsd
