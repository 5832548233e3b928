#include "daemon/preflight.hpp"

#include "daemon/build.hpp"
#include "probes/services.hpp"

#include <string>
#include <string_view>

#include "unit/support/certificate.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): setenv is POSIX

namespace vitalsd {
namespace {

class PreflightTest : public testing::Test {
 protected:
  // The warnings, one per line. The configuration is valid.
  std::string warnings(const std::string& text) {
    config::Document document("f", text);
    build_jobs(document, services_.environment);
    EXPECT_FALSE(document.problems().has_errors()) << document.problems().text();
    std::string out;
    test::Task task(loop_, into(out, Preflight(document, services_.environment)));
    task.get();
    return out;
  }
  // The warning about this option of a probe of kind http, without its place.
  std::string about(const std::string& option) {
    const std::string all =
        warnings("probes:\n- {name: a, kind: http, url: 'http://h', " + option + "}");
    constexpr std::string_view kWarning = "warning: ";
    const std::size_t at = all.find(kWarning);
    return at == std::string::npos ? all : all.substr(at + kWarning.size());
  }

  test::TempDirectory files_;

 private:
  asio::awaitable<int> into(std::string& out, Preflight preflight) {
    out = (co_await Preflight::run(std::move(preflight), services_.environment)).text();
    co_return 0;
  }

  asio::io_context loop_{1};
  ProbeServices services_{loop_, {}};
};

TEST_F(PreflightTest, NamesThePlaceOfASecretThatCannotBeRead) {
  const std::string missing = files_.path("missing");
  EXPECT_EQ(warnings("probes:\n- name: a\n  kind: redis\n  url: redis://h\n  password: {file: " +
                     missing + "}"),
            "f:5:13: warning: probes[0].password: cannot read " + missing +
                ": No such file or directory: create the file or correct the path\n");
  EXPECT_EQ(
      warnings(
          "probes:\n- {name: a, kind: redis, url: redis://h, password: {file: /nonexistent/p}}\n"
          "- {name: b, kind: redis, url: redis://h, password: {file: /nonexistent/p}}\n"),
      "f:2:52: warning: probes[0].password: cannot read /nonexistent/p: No such file or "
      "directory: create the file or correct the path\n"
      "f:3:52: warning: probes[1].password: cannot read /nonexistent/p: No such file or "
      "directory: create the file or correct the path\n");
  EXPECT_EQ(about("bearer_token: {file: " + files_.file("empty", "\n") + "}"),
            "probes[0].bearer_token: " + files_.path("empty") + " is empty\n");
}

TEST_F(PreflightTest, KnowsVariables) {
  unsetenv("VITALSD_TEST_VARIABLE");
  EXPECT_EQ(about("bearer_token: {env: VITALSD_TEST_VARIABLE}"),
            "probes[0].bearer_token: environment variable VITALSD_TEST_VARIABLE is not set: set it "
            "in the environment of vitalsd\n");
  setenv("VITALSD_TEST_VARIABLE", "", 1);
  EXPECT_EQ(about("bearer_token: {env: VITALSD_TEST_VARIABLE}"),
            "probes[0].bearer_token: environment variable VITALSD_TEST_VARIABLE is empty: set it "
            "in the environment of vitalsd\n");
  setenv("VITALSD_TEST_VARIABLE", "x", 1);
  EXPECT_EQ(about("bearer_token: {env: VITALSD_TEST_VARIABLE}"), "");
  EXPECT_EQ(about("bearer_token: {env: $VITALSD_TEST_VARIABLE}"),
            "probes[0].bearer_token: write the name of the variable without $\n");
  unsetenv("VITALSD_TEST_VARIABLE");
}

TEST_F(PreflightTest, ParsesCertificatesAndKeys) {
  const test::Certificate pair = test::make_certificate("a");
  const std::string certificate = files_.file("c.pem", pair.certificate);
  const std::string key = files_.file("k.pem", pair.key);
  const auto tls = [&](const std::string& ca, const std::string& c, const std::string& k) {
    return about("tls: {ca: " + ca + ", certificate: " + c + ", key: " + k + "}");
  };
  EXPECT_EQ(tls(certificate, certificate, key), "");
  EXPECT_EQ(tls(key, certificate, key),
            "probes[0].tls.ca: " + key +
                " contains a private key and no certificate: use the file of the certificate\n");
  EXPECT_EQ(tls(certificate, certificate, certificate),
            "probes[0].tls.key: " + certificate +
                " contains a certificate and no private key: use the file of the key\n");
  EXPECT_EQ(
      tls(files_.file("junk", "junk"), certificate, key),
      "probes[0].tls.ca: " + files_.path("junk") + " contains no certificate: use another file\n");
}

TEST_F(PreflightTest, ComparesKeysWithTheirCertificates) {
  const test::Certificate pair = test::make_certificate("a");
  const test::Profile rsa{.make_key = [] { return EVP_RSA_gen(2048); }};
  const std::string certificate = files_.file("c.pem", pair.certificate);
  const std::string key = files_.file("k.pem", pair.key);
  const std::string good = "{certificate: " + certificate + ", key: " + key + "}";
  for (const test::Certificate& other :
       {test::make_certificate("b"), test::make_certificate("c", std::nullopt, rsa)}) {
    const std::string wrong = files_.file("other.pem", other.key);
    const std::string bad = "{certificate: " + certificate + ", key: " + wrong + "}";
    const std::string fault = "the key " + wrong + " does not match the certificate " +
                              certificate + ": use the key of this certificate\n";
    const auto with = [&](const std::string& web, const std::string& tls) {
      return warnings("web: {tls: " + web + "}\nprobes:\n" +
                      "- {name: a, kind: redis, url: 'rediss://h', tls: " + tls + "}");
    };
    EXPECT_EQ(with(good, good), "");
    EXPECT_TRUE(with(good, bad).ends_with(": warning: probes[0].tls.key: " + fault));
    EXPECT_TRUE(with(bad, good).ends_with(": warning: web.tls.key: " + fault));
  }
}

TEST_F(PreflightTest, LooksAtDirectories) {
  const auto state = [&](const std::string& path) {
    return warnings("{state: {directory: " + path +
                    "}, probes: [{name: a, kind: tcp, endpoint: 'h:1'}]}");
  };
  const std::string file = files_.file("file", "");
  EXPECT_EQ(state(files_.path("")), "");
  EXPECT_EQ(state(file),
            "f:1:21: warning: state.directory: cannot write in " + file + ": not a directory\n");
  EXPECT_EQ(warnings("probes: [{name: a, kind: backup, directory: /nonexistent/b}]"),
            "f:1:45: warning: probes[0].directory: cannot read /nonexistent/b: No such file or "
            "directory: create the directory or correct the path\n");
}

// The user and the password may contain '$', and so may names of a query.
TEST_F(PreflightTest, FindsVariablesInUrlsAndPaths) {
  const auto url = [&](const std::string& text) {
    return warnings("probes: [{name: a, kind: http, url: '" + text + "'}]");
  };
  EXPECT_EQ(url("https://h/$TENANT/x"),
            "f:1:37: warning: probes[0].url: vitalsd does not expand '$TENANT': write its value\n");
  EXPECT_EQ(url("https://h/x?$filter=a&price=$1"), "");
  EXPECT_EQ(warnings("probes: [{name: a, kind: redis, url: 'redis://u@h', password: {file: "
                     "'${HOME}/p'}}]"),
            "f:1:63: warning: probes[0].password: vitalsd does not expand '${HOME}': write its "
            "value\n");
  EXPECT_EQ(about("bearer_token: {file: ~/p}"),
            "probes[0].bearer_token: vitalsd does not expand '~': write the whole path\n");
}

TEST_F(PreflightTest, WarnsIfNothingIsObserved) {
  EXPECT_EQ(warnings("probes: []"),
            "f:1:9: warning: probes: no probe is configured, so nothing is observed: add one\n");
  EXPECT_EQ(
      warnings("probes: [{name: a, kind: http, url: 'http://h/$X', enabled: false}]"),
      "f:1:9: warning: probes: all probes are disabled, so nothing is observed: enable one\n");
}

TEST_F(PreflightTest, FollowsSections) {
  const std::string s3 =
      "probes: [{name: a, kind: tcp, endpoint: 'h:1'}, {name: b, kind: backup, s3: {endpoint: "
      "'http://h', bucket: b, access_key: {file: "
      "/nonexistent/a}, secret_key: {file: /nonexistent/s}}}]";
  const std::string all = warnings(s3);
  EXPECT_TRUE(all.contains("probes[1].s3.access_key: cannot read /nonexistent/a")) << all;
  EXPECT_TRUE(all.contains("probes[1].s3.secret_key: cannot read /nonexistent/s")) << all;
}

}  // namespace
}  // namespace vitalsd
