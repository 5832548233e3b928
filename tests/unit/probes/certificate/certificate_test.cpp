#include "unit/support/certificate.hpp"

#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

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
  EXPECT_EQ(run.failure(empty), "mismatch: contains no certificate");
  EXPECT_TRUE(run.failure(broken).starts_with("protocol: ")) << run.failure(broken);
  EXPECT_EQ(run.failure(key), "mismatch: contains no certificate");
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

TEST_F(CertificateFiles, FailIfMissing) {
  EXPECT_EQ(observe("missing.pem").failure(directory.path("missing.pem")),
            "mismatch: no such file");
}

}  // namespace
}  // namespace vitalsd
