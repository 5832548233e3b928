#include "daemon/shown_options.hpp"

#include "daemon/build.hpp"
#include "probes/services.hpp"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

// The options of one probe as lines.
std::string shown(std::string_view probe) {
  asio::io_context loop{1};
  ProbeServices services(loop, {});
  config::Document document("f.yaml", "probes:\n  - " + std::string(probe));
  const auto jobs = build_jobs(document, services.environment);
  std::string out = document.problems().has_errors() ? document.problems().text() : "";
  for (const JobSpec& job : jobs) {
    for (const auto& [name, value] : *job.options) out += name + '=' + value + '\n';
  }
  return out;
}

TEST(ShownOptions, AreThoseThatAreSet) {
  EXPECT_EQ(shown("{name: a, kind: tcp, endpoint: 'a.test:1', interval: 1m, timeout: 5s, labels: "
                  "{team: x}, enabled: true}"),
            "endpoint=a.test:1\n");
  EXPECT_EQ(shown("{name: a, kind: http, url: 'http://a.test/x', expect: {status: [200, 3xx], "
                  "body: ok}, checks: {duration: off}}"),
            "url=http://a.test/x\nexpect.status[0]=200\nexpect.status[1]=3xx\nexpect.body=ok\n"
            "checks.duration=off\n");
}

TEST(ShownOptions, HaveNoSecrets) {
  EXPECT_EQ(
      shown("{name: a, kind: redis, url: 'redis://monitor:hunter2@a.test?x', password: hunter2}")
          .find("hunter2"),
      std::string::npos);
  EXPECT_EQ(shown("{name: a, kind: redis, url: 'redis://monitor:hunter2@a.test/1'}"),
            "url=redis://a.test/1\n");
  EXPECT_EQ(shown("{name: a, kind: redis, url: 'redis://a.test', password: hunter2}"),
            "url=redis://a.test\npassword=(not shown)\n");
  EXPECT_EQ(shown("{name: a, kind: redis, url: 'redis://a.test', password: {file: /run/pw}}"),
            "url=redis://a.test\npassword={file: /run/pw}\n");
  EXPECT_EQ(shown("{name: a, kind: http, url: 'http://u:pw@a.test/x?key=hunter2', body: hunter2, "
                  "method: POST, headers: {X-Token: hunter2}, expect: {json: {/status: ok}}}"),
            "url=http://a.test/x?…\nbody=(not shown)\nmethod=POST\nheaders.X-Token=(not shown)\n"
            "expect.json./status=ok\n");
}

// An option without a known type may be a secret.
TEST(ShownOptions, HideUnknownOptions) {
  config::Problems problems("");
  const config::Value value = config::parse_yaml("{a: secret, b: {c: secret}, d: shown}", problems);
  const auto options = shown_options(value, {{"d", "text"}});
  ASSERT_EQ(options.size(), 3U);
  EXPECT_EQ(options[0].second, "(not shown)");
  EXPECT_EQ(options[1].second, "(not shown)");
  EXPECT_EQ(options[2].second, "shown");
}

}  // namespace
}  // namespace vitalsd
