#include "config/settings.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace vitalsd::config {
namespace {

using namespace std::chrono_literals;
using test::TempDirectory;

constexpr std::string_view kGoodFile = VITALSD_TEST_DATA "/config/good/every-key.yaml";

TEST(Settings, HaveDefaults) {
  Document document("f", "probes: []");
  const Settings& settings = document.settings();
  EXPECT_EQ(document.problems().text(), "");
  EXPECT_EQ(settings.web, WebSettings());
  EXPECT_EQ(settings.web.listen, (Endpoint{"0.0.0.0", 9747}));
  EXPECT_EQ(settings.log, (LogSettings{LogLevel::info, LogFormat::logfmt}));
  EXPECT_EQ(settings.limits.running, 0);
  EXPECT_EQ(settings.limits.per_endpoint, 64);
  EXPECT_EQ(settings.state_directory, "");
  EXPECT_TRUE(settings.dns_servers.empty());
  EXPECT_TRUE(settings.probes.empty());
}

TEST(Settings, ListenOnAllAddressesWithoutAHost) {
  Document document("f", "web: {listen: \":9000\"}\nprobes: []\n");
  EXPECT_EQ(document.problems().text(), "");
  EXPECT_EQ(document.settings().web.listen, (Endpoint{"0.0.0.0", 9000}));
}

TEST(Settings, HaveTheValuesOfTheFile) {
  const auto document = Document::load(std::string(kGoodFile));
  const Settings& settings = document->settings();
  EXPECT_EQ(document->problems().text(), "");
  EXPECT_EQ(settings.web.listen, (Endpoint{"::1", 9000}));
  EXPECT_TRUE(settings.web.reload);
  EXPECT_EQ(settings.web.certificate, "/etc/vitalsd/tls.crt");
  EXPECT_EQ(settings.web.key, "/etc/vitalsd/tls.key");
  EXPECT_EQ(settings.web.client_ca, "/etc/vitalsd/ca.crt");
  ASSERT_EQ(settings.web.basic_auth.size(), 1U);
  EXPECT_EQ(settings.web.basic_auth[0].first, "prometheus");
  EXPECT_EQ(settings.log, (LogSettings{LogLevel::warn, LogFormat::json}));
  EXPECT_EQ(settings.limits.running, 500);
  EXPECT_EQ(settings.limits.per_endpoint, 8);
  EXPECT_EQ(settings.limits.series, 100'000);
  EXPECT_EQ(settings.state_directory, "/var/lib/vitalsd");
  EXPECT_EQ(settings.dns_servers.size(), 4U);

  ASSERT_EQ(settings.probes.size(), 2U);
  const ProbeSettings& smtp = settings.probes[0];
  EXPECT_EQ(smtp.name, "smtp");
  EXPECT_EQ(smtp.kind, "tcp");
  EXPECT_EQ(smtp.interval, 15s);
  EXPECT_EQ(smtp.timeout, 5s);
  EXPECT_EQ(smtp.labels, (Labels{{"environment", "production"}, {"team", "mail"}}));
  EXPECT_EQ(settings.probes[1].interval, 1min);
  EXPECT_EQ(settings.probes[1].timeout, 20s);
}

// Keeps every-key.yaml complete.
TEST(Settings, HaveNoKeyThatIsMissingInEveryKeyYaml) {
  const std::string text = test::read_file(kGoodFile);
  for (const Option& option : describe_settings()) {
    const std::string key = option.path.substr(option.path.find_last_of('.') + 1);
    EXPECT_TRUE(text.contains(key + ':')) << option.path;
  }
}

TEST(Settings, LimitTheDefaultTimeoutToTheInterval) {
  Document document("f",
                    "defaults: {interval: 5s}\n"
                    "probes:\n"
                    "  - {name: a, kind: x}\n"
                    "  - {name: b, kind: x, interval: 1s}\n"
                    "  - {name: c, kind: x, interval: 1h}\n");
  const auto& probes = document.settings().probes;
  EXPECT_EQ(document.problems().text(), "");
  EXPECT_EQ(probes[0].timeout, 5s);
  EXPECT_EQ(probes[1].timeout, 1s);
  EXPECT_EQ(probes[2].timeout, 5s);
}

TEST(Settings, SortLabels) {
  Document document("f", "probes: [{name: a, kind: x, labels: {z: '1', b: '2'}}]");
  EXPECT_EQ(document.settings().probes[0].labels, (Labels{{"b", "2"}, {"z", "1"}}));
}

TEST(Settings, HaveAFingerprintThatChangesWithTheProbe) {
  const auto fingerprint = [](std::string_view probe) {
    Document document("f", "probes: [" + std::string(probe) + "]");
    return document.settings().probes[0].fingerprint;
  };
  EXPECT_EQ(fingerprint("{name: a, kind: x, url: u}"), fingerprint("{url: 'u', kind: x, name: a}"));
  EXPECT_NE(fingerprint("{name: a, kind: x, url: u}"), fingerprint("{name: a, kind: x, url: v}"));
}

TEST(Settings, ReportAFileThatCannotBeRead) {
  const TempDirectory directory;
  const std::string missing = directory.path("missing.yaml");
  EXPECT_EQ(Document::load(missing)->problems().text(),
            missing +
                ": cannot read the file: No such file or directory: `vitalsd init` prints "
                "one\n");
  EXPECT_EQ(Document::load(directory.path(""))->problems().text(),
            directory.path("") + ": cannot read the file: Is a directory\n");
}

TEST(Settings, RefuseFilesThatAreNotRegularOrTooLarge) {
  const TempDirectory directory;
  const std::string fifo = directory.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  for (const std::string& file : {fifo, std::string("/dev/zero"), std::string("/dev/null")}) {
    EXPECT_EQ(Document::load(file)->problems().text(),
              file + ": cannot read the file: not a regular file\n");
  }
  const std::string huge = directory.file("huge.yaml", "probes: []\n");
  std::filesystem::resize_file(huge, std::uintmax_t{1} << 40);  // a hole
  EXPECT_EQ(Document::load(huge)->problems().text(),
            huge + ": cannot read the file: larger than 16 MiB\n");
}

TEST(Settings, RefuseManyUnknownKeysWithinSeconds) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "key" + std::to_string(i) + ": 1\n";
  const auto start = std::chrono::steady_clock::now();
  Document document("f", text);
  document.finish();
  EXPECT_TRUE(document.problems().text().ends_with("f: 99901 more errors are not shown\n"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(Settings, ReportMissingProbesForAnEmptyFile) {
  const TempDirectory directory;
  const std::string file = directory.file("empty.yaml", "");
  EXPECT_EQ(Document::load(file)->problems().text(),
            file + ": required key 'probes' is missing: must be a list\n");
}

TEST(LabelName, FollowsTheRulesOfPrometheus) {
  for (const char* name : {"a", "Env", "_x", "team_2"}) EXPECT_TRUE(is_label_name(name)) << name;
  for (const char* name : {"", "2x", "a-b", "a b", "__name", "é"}) {
    EXPECT_FALSE(is_label_name(name)) << name;
  }
}

}  // namespace
}  // namespace vitalsd::config
