#include "unit/support/certificate.hpp"

#include <algorithm>
#include <ctime>
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
      {test::to_base64(made.certificate),
       "is Base64 of a PEM file: decode it, for example with base64 -d"},
      {test::to_base64(test::to_der(made.certificate)) + '\n',
       "is Base64 without the lines -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----: add "
       "them"},
      {test::to_base64(made.key), "is Base64 of a file that " + key_fault},
      {test::to_base64(test::to_binary(made.key)), "is Base64 of a file that " + key_fault},
      {test::to_base64(request), "is Base64 of a file that " + request_fault},
      {test::to_base64("certainly not"), "contains no certificate"},
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

// The good certificates of a file are published beside the fault of the others.
TEST_F(CertificateFiles, MayHaveDamagedBlocks) {
  const test::Certificate good = test::make_certificate("good");
  const auto begin = std::string("-----BEGIN CERTIFICATE-----\n");
  const auto end = std::string("-----END CERTIFICATE-----\n");
  const auto lines = std::ranges::count(good.certificate, '\n');
  const auto expect = [&](const std::string& content, const std::string& fault) {
    const std::string path = directory.file("a.pem", content);
    const test::Observation run = observe("a.pem");
    EXPECT_EQ(run.failure(path), "protocol: has a damaged block in line " + fault) << content;
    EXPECT_TRUE(run.value("cert_expiry_timestamp", {{"cn", "good"}, {"source", path}})) << content;
    EXPECT_TRUE(run.reading("expires_in", "good, " + path)) << content;
  };
  const std::string second = std::to_string(lines + 1);
  expect(good.certificate + begin + end, second + ": empty");
  expect(begin + "\n" + end + good.certificate, "1: empty");
  expect(good.certificate + begin + "AAAA\n", second + ": no line -----END CERTIFICATE-----");
  expect(begin + "AAAA\n" + good.certificate, "1: no line -----END CERTIFICATE-----");
  expect(good.certificate + end, second + ": no line -----BEGIN CERTIFICATE-----");
  expect(" " + begin + "AAAA\n" + end + good.certificate,
         "1: the line is not exactly -----BEGIN CERTIFICATE-----");
  expect(begin + "AAAA\n----END CERTIFICATE-----\n" + good.certificate,
         "1: its last line is not exactly -----END CERTIFICATE-----");
  expect(good.certificate + begin + "AAAA\n" + end + begin + end + good.certificate,
         second + ": not a certificate: wrong tag, nested asn1 error (and 1 more)");
  // Blocks of something else are not read.
  const std::string path = directory.file(
      "a.pem", "-----BEGIN EC PRIVATE KEY-----\n" + good.certificate + good.key.substr(40));
  EXPECT_EQ(observe("a.pem").failure(path), "");
}

TEST_F(CertificateFiles, AreNamedWithoutACommonName) {
  const auto expect = [&](const std::string& name, const test::Profile& profile) {
    const std::string path = directory.file(
        "a.pem", test::make_certificate("", test::make_certificate("ca"), profile).certificate);
    const test::Observation run = observe("a.pem");
    EXPECT_TRUE(run.value("cert_expiry_timestamp", {{"cn", name}, {"source", path}})) << run.text();
    EXPECT_TRUE(run.reading("expires_in", name + ", " + path)) << name;
  };
  expect("shop.test", {.alternatives = "DNS:shop.test,DNS:other.test"});
  expect("10.0.0.1", {.alternatives = "IP:10.0.0.1"});
  expect("spiffe://shop/web", {.organization = "Shop", .alternatives = "URI:spiffe://shop/web"});
  expect("ops@shop.test", {.alternatives = "email:ops@shop.test"});
  expect("O=Shop", {.organization = "Shop"});
  const std::string path =
      directory.file("a.pem", test::make_certificate("", test::make_certificate("ca")).certificate);
  EXPECT_TRUE(observe("a.pem").text().contains("cn=\"serial ")) << observe("a.pem").text();
}

// Each has the thresholds of its own lifetime.
TEST_F(CertificateFiles, AreJudgedIfTheyHaveTheSameName) {
  const test::Certificate short_lived =
      test::make_certificate("a", std::nullopt, {.begins = -60, .expires = 2 * test::kDay});
  const test::Certificate due = test::make_certificate(
      "a", std::nullopt, {.begins = -360 * test::kDay, .expires = 5 * test::kDay});
  const std::string path = directory.file("1.pem", due.certificate + short_lived.certificate);
  const test::Observation run = observe("1.pem");
  EXPECT_NEAR(run.reading("expires_in", "a, " + path).value_or(0), 5 * test::kDay, 60);
  EXPECT_EQ(run.count("cert_expiry_timestamp"), 1U);
}

TEST_F(CertificateFiles, MayEndBeforeTheyBegin) {
  const std::string path = directory.file(
      "a.pem",
      test::make_certificate("a", std::nullopt, {.begins = test::kDay, .expires = test::kDay / 2})
          .certificate);
  EXPECT_EQ(observe("a.pem").status("expires_in", "a, " + path), Status::critical);
}

TEST_F(CertificateFiles, AreJudgedBesideAFileThatFails) {
  std::ignore = directory.file("b.pem", "certainly not");
  EXPECT_EQ(observe("*.pem").reading("weak"), std::nullopt);
  const std::string path = directory.file(
      "a.pem",
      test::make_certificate("a", std::nullopt, {.make_key = [] { return EVP_RSA_gen(1024); }})
          .certificate);
  EXPECT_EQ(observe("*.pem").reading("weak", "a, " + path + " (RSA key of 1024 bits)"), 1);
}

// Each certificate is judged, also those whose dates are not published.
TEST_F(CertificateFiles, MayContainTheNextCertificate) {
  const test::Certificate next = test::make_certificate(
      "a", std::nullopt, {.begins = test::kDay / 2, .expires = test::kDay * 9});
  const std::string path =
      directory.file("1.pem", next.certificate + test::make_certificate("a").certificate);
  const test::Observation run = observe("1.pem");
  const double first =
      run.value("cert_expiry_timestamp", {{"cn", "a"}, {"source", path}}).value_or(0);
  EXPECT_NEAR(first - static_cast<double>(std::time(nullptr)), test::kDay, 60);
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
