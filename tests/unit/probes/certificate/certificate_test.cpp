#include "unit/support/certificate.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "unit/support/certificate_files.hpp"
#include "unit/support/conversation.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

namespace fs = std::filesystem;

class CertificateFiles : public testing::Test {
 protected:
  test::Observation observe(const std::string& name) {
    return fixture.observe("certificate", "files: ['" + directory.path(name) + "']");
  }

  test::ProbeFixture fixture;
  test::TempDirectory directory;
};

TEST_F(CertificateFiles, PublishTheExpiry) {
  const std::string path = directory.file("a.pem", test::make_certificate("shop").certificate);
  const test::Observation run = observe("a.pem");
  EXPECT_EQ(run.failure(), "");
  const test::Labels labels = {{"cn", "shop"}, {"source", path}};
  const double expiry = run.value("cert_expiry_timestamp", labels).value_or(0);
  EXPECT_EQ(run.value("cert_not_before_timestamp", labels), expiry - 2 * 86'400);
  EXPECT_NEAR(run.reading("expires_in", "shop, " + path).value_or(0), 86'400, 60);
  EXPECT_EQ(run.count("cert_verified"), 0U);  // only for endpoints
}

TEST_F(CertificateFiles, AreReadCompletelyAndOnce) {
  const std::string both = test::make_certificate("a").certificate + "# comment\n" +
                           test::make_certificate("b").certificate;
  const std::string path = directory.file("1.pem", both);
  std::ignore = directory.file("2.pem", test::make_certificate("c").certificate);
  const test::Observation run =
      fixture.observe("certificate", "files: ['" + directory.path("*.pem") + "', '" + path + "']");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.count("cert_expiry_timestamp"), 3U);
  EXPECT_EQ(run.parts(), 2U);
  EXPECT_EQ(run.duplicates(), 0U);
}

TEST_F(CertificateFiles, HaveOneSeriesPerName) {
  const std::string one = test::make_certificate("a").certificate;
  std::ignore = directory.file("1.pem", one + test::make_certificate("a").certificate);
  const test::Observation run = observe("1.pem");
  EXPECT_EQ(run.count("cert_expiry_timestamp"), 1U);
  EXPECT_EQ(run.duplicates(), 0U);
}

TEST_F(CertificateFiles, FailSeparately) {
  std::ignore = directory.file("a.pem", test::make_certificate("a").certificate);
  const std::string empty = directory.file("b.pem", "");
  const std::string broken =
      directory.file("c.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  const std::string key = directory.file("d.pem", test::make_certificate("d").key);
  fs::create_directory(directory.path("e.pem"));
  const test::Observation run = observe("*.pem");
  EXPECT_EQ(run.count("cert_expiry_timestamp"), 1U);
  EXPECT_EQ(run.failure(empty), "mismatch: is empty");
  EXPECT_TRUE(run.failure(broken).starts_with("protocol: ")) << run.failure(broken);
  EXPECT_EQ(run.failure(key),
            "mismatch: contains a private key and no certificate: use the file of the certificate");
  EXPECT_EQ(run.failure(directory.path("e.pem")), "mismatch: Is a directory");
  EXPECT_FALSE(run.threw());
}

TEST_F(CertificateFiles, MayBeInDer) {
  const std::string der = test::to_der(test::make_certificate("shop").certificate);
  const std::string whole = directory.file("a.der", der);
  const std::string more = directory.file("b.der", der + '\n');
  const std::string two = directory.file("c.der", der + der);
  const std::string half = directory.file("d.der", der.substr(0, der.size() / 2));
  const test::Observation run = observe("*.der");
  EXPECT_EQ(run.failure(whole), "");
  EXPECT_EQ(run.count("cert_expiry_timestamp"), 1U);
  EXPECT_TRUE(run.value("cert_expiry_timestamp", {{"cn", "shop"}, {"source", whole}}));
  EXPECT_EQ(run.failure(more), "protocol: has unexpected bytes after the DER certificate");
  EXPECT_EQ(run.failure(two), "protocol: has unexpected bytes after the DER certificate");
  EXPECT_EQ(run.failure(half), "mismatch: contains no certificate");
}

TEST_F(CertificateFiles, MayBePkcs7) {
  const std::string pem =
      test::make_pkcs7({test::make_certificate("a"), test::make_certificate("b")});
  const std::string der = test::to_binary(pem);
  for (const auto& [name, content] : std::map<std::string, std::string>{
           {"pem.p7b", pem}, {"der.p7b", der}, {"text.p7b", "Bag Attributes\r\n\r\n" + pem}}) {
    const std::string path = directory.file(name, content);
    const test::Observation run = observe(name);
    EXPECT_EQ(run.failure(path), "");
    EXPECT_TRUE(run.value("cert_expiry_timestamp", {{"cn", "a"}, {"source", path}})) << name;
    EXPECT_TRUE(run.value("cert_expiry_timestamp", {{"cn", "b"}, {"source", path}})) << name;
  }
  const std::string more = directory.file("more.p7b", der + '\n');
  EXPECT_EQ(observe("more.p7b").failure(more),
            "protocol: has unexpected bytes after the DER certificate");
  const std::string none = directory.file("none.p7b", test::make_pkcs7({}));
  EXPECT_EQ(observe("none.p7b").failure(none), "mismatch: is PKCS#7 without a certificate");
}

TEST_F(CertificateFiles, MayHaveTextAround) {
  const std::string pem = test::make_certificate("shop").certificate;
  for (const std::string& text : {"Issuer: CN=shop\n-- not PEM --\n" + pem + "the end",
                                  "\xef\xbb\xbf" + pem, "\r\n\r\n" + pem}) {
    std::ignore = directory.file("a.pem", text);
    EXPECT_EQ(observe("a.pem").count("cert_expiry_timestamp"), 1U) << text;
  }
}

TEST_F(CertificateFiles, AreNamedIfTheyAreSomethingElse) {
  const test::Certificate made = test::make_certificate("shop");
  const std::string request = test::make_request();
  const auto utf16 = [](const std::string& text) {
    std::string wide = "\xff\xfe";
    for (const char c : text) wide += {c, '\0'};
    return wide;
  };
  const std::string key_fault =
      "contains a private key and no certificate: use the file of the certificate";
  const std::string request_fault =
      "contains a certificate signing request and no certificate: use the certificate that the CA "
      "issued for it";
  const std::string pkcs12_fault =
      "is PKCS#12, which may need a password: write its certificates to a PEM file with openssl "
      "pkcs12 -nokeys";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "is empty"},
      {"\n \n", "is empty"},
      {made.key, key_fault},
      {test::to_binary(made.key), key_fault},
      {request, request_fault},
      {test::to_binary(request), request_fault},
      {test::make_pkcs12(made), pkcs12_fault},
      {utf16(made.certificate), "is UTF-16 text: convert it to ASCII or UTF-8"},
      {utf16(made.certificate).substr(2), "is UTF-16 text: convert it to ASCII or UTF-8"},
      {"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
       "is Base64 of a PEM file: decode it, for example with base64 -d"},
      {"MIIBszCCAVmgAwIBAgIUZ",
       "is Base64 without the lines -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----: add "
       "them"},
      {std::string("\xfe\xed\xfe\xed\0\0\0\2", 8),
       "is a Java keystore: write its certificates to a PEM file with keytool -exportcert -rfc"},
      {"certainly not", "contains no certificate"}};
  for (const auto& [content, fault] : cases) {
    const std::string path = directory.file("a.pem", content);
    const test::Observation run = observe("a.pem");
    EXPECT_EQ(run.failure(path), "mismatch: " + fault);
    const std::string secret = made.key.substr(made.key.find('\n') + 1, 20);
    EXPECT_FALSE(run.text().contains(secret));
  }
}

TEST_F(CertificateFiles, MayBeginInTheFuture) {
  constexpr long kSkew = 30;
  const auto reading = [&](const std::string& name, long begins) {
    const std::string path = directory.file(
        name, test::make_certificate(name, std::nullopt, {.begins = begins}).certificate);
    return observe(name).reading("not_yet_valid", name + ", " + path).value_or(-1);
  };
  EXPECT_EQ(reading("valid", -test::kDay), 0);
  EXPECT_NEAR(reading("skewed", kSkew), kSkew, kSkew);
  EXPECT_NEAR(reading("early", test::kDay / 2), test::kDay / 2, 60);
}

// Each certificate is judged, also those whose dates are not published.
TEST_F(CertificateFiles, MayContainTheNextCertificate) {
  const test::Certificate next = test::make_certificate(
      "a", std::nullopt, {.begins = test::kDay / 2, .expires = test::kDay * 9});
  const std::string path =
      directory.file("1.pem", next.certificate + test::make_certificate("a").certificate);
  const test::Observation run = observe("1.pem");
  EXPECT_NEAR(run.reading("expires_in", "a, " + path).value_or(0), test::kDay, 60);
  EXPECT_NEAR(run.reading("not_yet_valid", "a, " + path).value_or(0), test::kDay / 2, 60);
}

TEST_F(CertificateFiles, AreWeakByKeyOrSignature) {
  const auto expect = [&](const std::string& name, const test::Certificate& certificate,
                          const std::string& weakness) {
    const std::string path = directory.file(name, certificate.certificate);
    const test::Observation run = observe(name);
    if (weakness.empty()) {
      EXPECT_EQ(run.reading("weak"), 0) << name;
    } else {
      EXPECT_EQ(run.reading("weak", name + ", " + path + " (" + weakness + ')'), 1) << name;
    }
  };
  const auto small_rsa = [] { return EVP_RSA_gen(1024); };
  const test::Certificate root = test::make_certificate("root");
  const auto expect_issued = [&](const std::string& name, const test::Profile& profile,
                                 const std::string& weakness) {
    expect(name, test::make_certificate(name, root, profile), weakness);
  };
  expect_issued("strong", {}, "");
  expect_issued("rsa2048", {.make_key = [] { return EVP_RSA_gen(2048); }}, "");
  expect_issued("p224", {.make_key = [] { return EVP_EC_gen("P-224"); }}, "");
  expect_issued("ed25519",
                {.make_key = [] { return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"); }}, "");
  expect_issued("rsa1024", {.make_key = small_rsa}, "RSA key of 1024 bits");
  expect_issued("p192", {.make_key = [] { return EVP_EC_gen("P-192"); }}, "EC key of 192 bits");
  expect_issued("dsa", {.make_key = &test::make_dsa_key}, "DSA key of 1024 bits");
  expect_issued("sha1", {.digest = EVP_sha1()}, "signed with SHA-1");
  expect_issued("both", {.make_key = small_rsa, .digest = EVP_sha1()},
                "RSA key of 1024 bits, signed with SHA-1");
  const test::Certificate rsa_root = test::make_certificate(
      "rsa root", std::nullopt, {.make_key = [] { return EVP_RSA_gen(2048); }});
  expect("md5", test::make_certificate("md5", rsa_root, {.digest = EVP_md5()}), "signed with MD5");
  // Nobody relies on the signature of a root, but on its key.
  expect("sha1 root", test::make_certificate("sha1 root", std::nullopt, {.digest = EVP_sha1()}),
         "");
  expect("small root", test::make_certificate("small root", std::nullopt, {.make_key = small_rsa}),
         "RSA key of 1024 bits");
}

TEST_F(CertificateFiles, FailIfMissing) {
  EXPECT_EQ(observe("missing.pem").failure(directory.path("missing.pem")),
            "mismatch: no such file");
}

}  // namespace
}  // namespace vitalsd
