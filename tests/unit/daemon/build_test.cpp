// Builds jobs from configurations, as at start and reload: settings, kinds, labels, checks.
#include "daemon/build.hpp"

#include "probes/registry.hpp"
#include "probes/services.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

namespace fs = std::filesystem;

// The problems and the jobs of a configuration text.
struct Build {
  Build(const std::string& file, const std::string& text)
      : document(file, text), jobs(build_jobs(document, services.environment)) {}

  asio::io_context loop{1};
  ProbeServices services{loop, {}};
  config::Document document;
  std::vector<JobSpec> jobs;
};

// ---- invalid files, each with a file of its exact message -------------------------------------

struct BadFile {
  fs::path yaml;
  friend std::ostream& operator<<(std::ostream& out, const BadFile& file) {
    return out << file.yaml.stem().string();
  }
};

std::vector<BadFile> bad_files() {
  std::vector<BadFile> files;
  for (const auto& entry : fs::directory_iterator(VITALSD_TEST_DATA "/config/bad")) {
    if (entry.path().extension() == ".yaml") files.push_back({entry.path()});
  }
  std::ranges::sort(files, {}, &BadFile::yaml);
  return files;
}

std::string test_name(const testing::TestParamInfo<BadFile>& file) {
  std::string name = file.param.yaml.stem().string();
  std::ranges::replace(name, '-', '_');
  return name;
}

// Replaces "{kinds}" by the list of all kinds.
std::string with_kinds(std::string text) {
  std::string kinds;
  for (const std::string_view kind : kind_names())
    kinds += (kinds.empty() ? "" : " ") + std::string(kind);
  constexpr std::string_view kPlaceholder = "{kinds}";
  const std::size_t at = text.find(kPlaceholder);
  return at == std::string::npos ? text : text.replace(at, kPlaceholder.size(), kinds);
}

class BadConfiguration : public testing::TestWithParam<BadFile> {};

TEST_P(BadConfiguration, ReportsTheExactMessage) {
  const fs::path& yaml = GetParam().yaml;
  Build build(yaml.filename().string(), test::read_file(yaml));
  EXPECT_EQ(build.document.problems().text(),
            with_kinds(test::read_file(fs::path(yaml).replace_extension(".txt"))));
}

INSTANTIATE_TEST_SUITE_P(Corpus, BadConfiguration, testing::ValuesIn(bad_files()), test_name);

// ---- valid files
// ---------------------------------------------------------------------------------

TEST(Build, CreatesAJobForEachProbe) {
  const fs::path yaml = VITALSD_TEST_DATA "/config/good/every-key.yaml";
  Build build("every-key.yaml", test::read_file(yaml));
  EXPECT_EQ(build.document.problems().text(), "");
  ASSERT_EQ(build.jobs.size(), 2U);
  const JobSpec& smtp = build.jobs[0];
  EXPECT_EQ(smtp.name, "smtp");
  EXPECT_EQ(smtp.kind, find_kind("tcp"));
  EXPECT_EQ(smtp.interval, std::chrono::seconds(15));
  EXPECT_EQ(smtp.timeout, std::chrono::seconds(5));
  EXPECT_EQ(smtp.labels, (config::Labels{{"environment", "production"}, {"team", "mail"}}));
  EXPECT_EQ(smtp.probe->target(), "mail.example:25");
}

// A shard that does not run the probe answers its requests.
TEST(Build, EveryShardHasAllRoutes) {
  const std::string text = R"(
probes:
  - {name: nightly, kind: job, schedule: "@daily", token: none}
  - {name: smtp, kind: tcp, endpoint: "mail.example:25"}
)";
  std::size_t jobs = 0;
  for (const std::uint32_t index : {0U, 1U}) {
    asio::io_context loop{1};
    const ProbeServices services(loop, {}, {.index = index, .count = 2});
    config::Document document("f", text);
    std::vector<ProbeRoute> routes;
    jobs += build_jobs(document, services.environment, &routes).size();
    ASSERT_EQ(routes.size(), 4U);
    EXPECT_EQ(routes[0].probe, "nightly");
    EXPECT_EQ(routes[0].route.path, "/metrics/job/nightly");
    EXPECT_EQ(routes[3].route.path, "/api/v1/jobs/nightly");
  }
  EXPECT_EQ(jobs, 2U);
}

TEST(Build, ReadsConfiguredThresholds) {
  Build build("f", R"(
probes:
  - name: cache
    kind: redis
    url: redis://cache
    checks: {memory: {critical: 95%}, list_length: {warn: 10, critical: 20}, hit_rate: off}
)");
  EXPECT_EQ(build.document.problems().text(), "");
  ASSERT_EQ(build.jobs.size(), 1U);
  const std::span<const Check* const> checks = build.jobs[0].kind->checks;
  const auto index_of = [&](std::string_view check) {
    return static_cast<std::size_t>(std::ranges::find(checks, check, &Check::name) -
                                    checks.begin());
  };
  const auto setting_of = [&](std::string_view check) {
    return build.jobs[0].checks.at(index_of(check));
  };
  const auto thresholds_of = [&](std::string_view check) { return setting_of(check).value(); };
  EXPECT_EQ(setting_of("hit_rate"), std::nullopt);
  EXPECT_EQ(thresholds_of("list_length").warn, 10);
  EXPECT_EQ(thresholds_of("list_length").critical, 20);
  EXPECT_EQ(thresholds_of("memory").critical, 0.95);
  EXPECT_EQ(thresholds_of("memory").warn, std::nullopt);  // the default of the kind applies
}

TEST(Build, ChecksTheConfigurationOfADisabledProbe) {
  Build valid("f", R"(
probes:
  - {name: smtp, kind: tcp, endpoint: "mail.example:25", enabled: false}
  - {name: nightly, kind: job, schedule: "@daily", token: none, enabled: false}
  - {name: imap, kind: tcp, endpoint: "mail.example:143", enabled: true}
)");
  EXPECT_EQ(valid.document.problems().text(), "");
  ASSERT_EQ(valid.jobs.size(), 1U);
  EXPECT_EQ(valid.jobs[0].name, "imap");
  const auto absent = absent_probes(valid.document.settings().probes, valid.jobs);
  EXPECT_EQ(absent.size(), 2U);
  EXPECT_EQ(absent.at("smtp"), "is disabled");

  Build invalid("f", "probes: [{name: smtp, kind: tcp, enabled: false}]");
  EXPECT_TRUE(invalid.document.problems().has_errors());
}

TEST(Build, DescribesTheKeysOfAKind) {
  asio::io_context loop{1};
  const ProbeServices services(loop, {});
  const auto options = describe_kind(*find_kind("tcp"), services.environment);
  ASSERT_EQ(options.size(), 2U);
  EXPECT_EQ(options[0].path, "endpoint");
  EXPECT_TRUE(options[0].required);
  EXPECT_EQ(options[1].path, "ip");
  EXPECT_FALSE(options[1].required);
}

TEST(Build, DescribesEveryOptionOfEveryKind) {
  asio::io_context loop{1};
  const ProbeServices services(loop, {});
  for (const ProbeKind* kind : probe_kinds()) {
    for (const config::Option& option : describe_kind(*kind, services.environment)) {
      EXPECT_FALSE(option.help.empty()) << kind->name << ": " << option.path;
    }
  }
}

}  // namespace
}  // namespace vitalsd
