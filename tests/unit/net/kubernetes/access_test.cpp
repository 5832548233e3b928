#include "probes/net/kubernetes/access.hpp"

#include "probes/error.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/timer_wheel.hpp"

#include <cstdlib>
#include <string>

#include "unit/support/environment.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net::kubernetes {
namespace {

using testing::HasSubstr;

class Kubeconfig : public testing::Test {
 protected:
  std::expected<Access, std::string> read(const std::string& text,
                                          const std::string& context = "") {
    const std::string file = directory.path("config");
    return read_kubeconfig({.kubeconfig = file, .context = context}, text);
  }
  std::string error(const std::string& text, const std::string& context = "") {
    const auto access = read(text, context);
    return access ? "accepted" : access.error();
  }
  // A kubeconfig with one context, whose cluster and user are these mappings.
  static std::string config(const std::string& cluster, const std::string& user) {
    return "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
           "contexts: [{name: here, context: {cluster: c, user: u, namespace: web}}]\n"
           "clusters: [{name: c, cluster: " +
           cluster + "}]\nusers: [{name: u, user: " + user + "}]\n";
  }

  test::TempDirectory directory;
};

TEST_F(Kubeconfig, ReadsServerAndToken) {
  const auto access = read(config("{server: 'https://10.0.0.1:6443/'}", "{token: abc}"));
  ASSERT_TRUE(access) << access.error();
  EXPECT_EQ(access->server.text(), "https://10.0.0.1:6443");
  EXPECT_EQ(access->token.read(), "abc");
  EXPECT_EQ(access->namespace_name, "web");
  EXPECT_TRUE(access->tls.verify);
}

TEST_F(Kubeconfig, ResolvesPathsRelativeToTheFile) {
  ASSERT_FALSE(directory.file("t", "from a file\n").empty());
  const auto access = read(config("{server: 'https://a', certificate-authority: ca.pem}",
                                  "{tokenFile: t, client-certificate: c.pem, client-key: k.pem}"));
  ASSERT_TRUE(access) << access.error();
  EXPECT_EQ(access->token.read(), "from a file");
  EXPECT_THAT(access->tls.ca, HasSubstr("/ca.pem"));
  EXPECT_THAT(access->tls.certificate, HasSubstr("/c.pem"));
}

TEST_F(Kubeconfig, ReadsInlineData) {
  // "-----BEGIN CERTIFICATE-----\n" in base64
  const auto access =
      read(config("{server: 'https://a', certificate-authority-data: "
                  "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==}",
                  "{}"));
  ASSERT_TRUE(access) << access.error();
  EXPECT_EQ(access->tls.ca, "-----BEGIN CERTIFICATE-----\n");
}

TEST_F(Kubeconfig, ReportsWhatIsInvalid) {
  const std::string good = "{server: 'https://a'}";
  EXPECT_THAT(error(config(good, "{exec: {command: aws}}")), HasSubstr("not supported"));
  EXPECT_THAT(error(config(good, "{auth-provider: {name: gcp}}")), HasSubstr("not supported"));
  EXPECT_THAT(error(config(good, "{username: x, password: secret}")), HasSubstr("password"));
  EXPECT_THAT(error(config(good, "{password: secret}")), HasSubstr("password"));
  EXPECT_THAT(error(config("{server: 'https://a', proxy-url: 'socks5://b:1080'}", "{}")),
              HasSubstr("cluster 'c' has proxy-url, which is not supported"));
  EXPECT_THAT(error(config(good, "{token: t, as: jane}")), HasSubstr("user 'u' has as, which"));
  EXPECT_THAT(error(config(good, "{token: t, as-uid: 7}")), HasSubstr("has as-uid, which"));
  EXPECT_THAT(error(config(good, "{token: t, as-groups: [g]}")), HasSubstr("has as-groups, which"));
  EXPECT_THAT(error(config(good, "{token: t, as-user-extra: {scopes: [s]}}")),
              HasSubstr("has as-user-extra, which"));
  EXPECT_THAT(error(config(good, "{client-certificate: c}")), HasSubstr("must be set together"));
  EXPECT_THAT(error(config("{server: a}", "{}")), HasSubstr("not a valid https URL"));
  EXPECT_THAT(error(config("{server: 'https://a', certificate-authority-data: '*'}", "{}")),
              HasSubstr("not valid base64"));
  EXPECT_THAT(error(config(good, "{}"), "heer"), HasSubstr("did you mean 'here'"));
  EXPECT_THAT(error("contexts: []"), HasSubstr("current-context"));
  EXPECT_THAT(error("a: ["), HasSubstr("config:2:1: not valid YAML"));
}

// Some tools write all keys, even keys without a value. Keys that do not affect vitalsd are valid.
TEST_F(Kubeconfig, AcceptsEmptyAndIrrelevantKeys) {
  EXPECT_EQ(error(config("{server: 'https://a', proxy-url: '', disable-compression: true}",
                         "{token: t, as: '', as-uid: null, as-groups: [], as-user-extra: {}}")),
            "accepted");
}

TEST_F(Kubeconfig, ReadsTlsServerName) {
  const auto access = read(config("{server: 'https://a', tls-server-name: b}", "{}"));
  ASSERT_TRUE(access) << access.error();
  EXPECT_EQ(access->tls.server_name, "b");
}

TEST_F(Kubeconfig, DoesNotShowSecretsInErrors) {
  EXPECT_THAT(error(config("{server: 'https://a'}",
                           "{username: x, password: hush, token: hush2, exec: {}}")),
              testing::Not(HasSubstr("hush")));
}

class ReadAccess : public testing::Test {
 protected:
  // The error of read_access(), which has the reason `config`.
  std::string error(const AccessOptions& options) {
    try {
      test::Task(loop_, read_access(files_, options)).get();
    } catch (const ProbeError& e) {
      EXPECT_EQ(e.reason(), Reason::config);
      return e.what();
    }
    return "accepted";
  }

  asio::io_context loop_{1};
  TimerWheel wheel_{loop_};
  ConfiguredFiles files_{loop_, wheel_};
};

TEST_F(ReadAccess, ReadsTheKubeconfigAgain) {
  const test::TempDirectory directory;
  const std::string file = directory.file("config", "contexts: []");
  EXPECT_THAT(error({.kubeconfig = file, .context = ""}), HasSubstr("current-context"));
  EXPECT_EQ(directory.file("config", "a: ["), file);
  EXPECT_THAT(error({.kubeconfig = file, .context = ""}), HasSubstr("not valid YAML"));
  EXPECT_EQ(error({.kubeconfig = "/nowhere", .context = ""}),
            "cannot read /nowhere: No such file or directory");
}

TEST_F(ReadAccess, RequiresTheEnvironmentOfAPod) {
  unsetenv("KUBERNETES_SERVICE_HOST");  // NOLINT(concurrency-mt-unsafe)
  EXPECT_THAT(error({}), HasSubstr("not running in a pod"));
}

TEST_F(ReadAccess, ReadsTheNamespaceOfThePodIfItHasOne) {
  const test::TempDirectory directory;
  const test::Variable where("VITALSD_SERVICE_ACCOUNT", directory.path(""));
  const test::Variable host("KUBERNETES_SERVICE_HOST", "10.0.0.1");
  const test::Variable port("KUBERNETES_SERVICE_PORT", "443");
  EXPECT_EQ(test::Task(loop_, read_access(files_, {})).get().namespace_name, "");
  ASSERT_FALSE(directory.file("namespace", "web").empty());
  EXPECT_EQ(test::Task(loop_, read_access(files_, {})).get().namespace_name, "web");
}

}  // namespace
}  // namespace vitalsd::net::kubernetes
