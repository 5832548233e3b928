#include "probes/certificate/tls_secret.hpp"

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
  ASSERT_EQ(web->certificates.size(), 1U);
  EXPECT_EQ(web->certificates[0].common_name, "shop.test");
  EXPECT_GT(web->certificates[0].not_after, web->certificates[0].not_before);
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
  ASSERT_EQ(web->certificates.size(), 2U);
  EXPECT_EQ(web->certificates[0].common_name, "shop.test");
}

TEST(TlsSecret, IgnoresSecretsOfOtherTypes) {
  const test::Certificate made = test::make_certificate("shop.test");
  EXPECT_EQ(read_tls_secret(secret(made.certificate, made.key, "Opaque").bytes()), std::nullopt);
  EXPECT_EQ(read_tls_secret(secret(made.certificate, made.key, "").bytes()), std::nullopt);
  EXPECT_EQ(read_tls_secret(""), std::nullopt);
}

TEST(TlsSecret, ReportsWhyThereIsNoCertificate) {
  const test::Certificate made = test::make_certificate("shop.test");
  const auto fault = [](const Message& message) {
    const std::optional<TlsSecret> web = read_tls_secret(message.bytes());
    EXPECT_TRUE(web && web->certificates.empty());
    return web ? web->fault : "";
  };
  EXPECT_EQ(fault(Message().text(3, "kubernetes.io/tls")), "has no entry tls.crt");
  EXPECT_EQ(fault(secret("", made.key)), "tls.crt contains no certificate");
  EXPECT_EQ(fault(secret("certainly not", made.key)), "tls.crt contains no certificate");
  EXPECT_EQ(fault(secret(made.key, made.certificate)), "tls.crt contains no certificate");
  const std::string broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const std::string text = fault(secret(broken, made.key));
  EXPECT_TRUE(text.starts_with("tls.crt is not a certificate: ")) << text;
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
