#include "exporter/model/foreign.hpp"

#include "exporter/model/exposition.hpp"
#include "exporter/model/ledger.hpp"
#include "probes/net/cpu_time.hpp"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "unit/support/page.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using Clash = ForeignFamilies::Clash;

constexpr Metric kDeclared({.name = "shared_size", .help = "The declared help text."});

MetricRef intern(ForeignFamilies& families, const ForeignDeclaration& declaration) {
  return families.intern(declaration).value();
}

std::optional<Clash> clash(ForeignFamilies& families, std::string_view name, Type type) {
  const auto result = families.intern({.name = name, .type = type});
  return result ? std::nullopt : std::optional(result.error());
}

// ---- interning ----------------------------------------------------------------------------------

TEST(ForeignFamilies, EqualDeclarationsShareOneFamily) {
  ForeignFamilies families;
  const MetricRef a = intern(families, {"jobs", Type::gauge, "First.", "items"});
  const MetricRef b = intern(families, {"jobs", Type::gauge, "Second.", ""});
  EXPECT_EQ(a, b);
  EXPECT_EQ(b->help, "First.");
  EXPECT_EQ(b->foreign_unit, "items");
  EXPECT_EQ(b->keep, Keep::reading);
  EXPECT_EQ(families.size(), 1U);
}

TEST(ForeignFamilies, OwnTheirText) {
  ForeignFamilies families;
  std::string name = "jobs";
  std::string help = "How many.";
  const MetricRef a = intern(families, {name, Type::gauge, help});
  name = help = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
  EXPECT_EQ(a->name, "jobs");
  EXPECT_EQ(a->help, "How many.");
}

TEST(ForeignFamilies, LastReferenceFreesTheFamilyAndItsNames) {
  ForeignFamilies families;
  {
    const MetricRef a = intern(families, {"took_seconds", Type::histogram});
    const MetricRef copy = a;
    EXPECT_EQ(clash(families, "took_seconds", Type::counter), Clash::type);
    EXPECT_EQ(clash(families, "took_seconds_count", Type::counter), Clash::name);
  }
  EXPECT_EQ(families.size(), 0U);
  EXPECT_EQ(clash(families, "took_seconds", Type::counter), std::nullopt);
  EXPECT_EQ(clash(families, "took_seconds_count", Type::counter), std::nullopt);
}

TEST(ForeignFamilies, OutliveTheirRegistry) {
  std::optional<ForeignFamilies> families(std::in_place);
  MetricRef a = intern(*families, {"jobs", Type::gauge});
  families.reset();
  EXPECT_EQ(a->name, "jobs");
  a = {};
}

TEST(ForeignFamilies, FirstPublisherFixesTheType) {
  ForeignFamilies families;
  const MetricRef a = intern(families, {"jobs", Type::gauge});
  for (const Type type : {Type::counter, Type::unknown, Type::histogram, Type::stateset}) {
    EXPECT_EQ(clash(families, "jobs", type), Clash::type);
  }
  EXPECT_EQ(clash(families, "jobs", Type::gauge), std::nullopt);
}

TEST(ForeignFamilies, NamesOfSamplesClash) {
  ForeignFamilies families;
  const MetricRef count = intern(families, {"a_count", Type::gauge});
  EXPECT_EQ(clash(families, "a", Type::summary), Clash::name);
  EXPECT_EQ(clash(families, "a", Type::gauge), std::nullopt);
  const MetricRef histogram = intern(families, {"b", Type::histogram});
  for (const std::string_view name : {"b_bucket", "b_sum", "b_count", "b_created"}) {
    EXPECT_EQ(clash(families, name, Type::gauge), Clash::name) << name;
  }
  EXPECT_EQ(clash(families, "b_total", Type::counter), std::nullopt);
}

TEST(ForeignFamilies, DeclaredFamiliesWin) {
  ForeignFamilies families;
  families.declare("pg_up", Type::gauge);
  families.declare("lag_seconds", Type::histogram);
  EXPECT_EQ(clash(families, "pg_up", Type::counter), Clash::declared);
  EXPECT_EQ(clash(families, "pg_up", Type::gauge), std::nullopt);
  EXPECT_EQ(clash(families, "lag_seconds_sum", Type::gauge), Clash::declared);
  EXPECT_EQ(clash(families, "lag_seconds", Type::histogram), std::nullopt);
  const MetricRef joined = intern(families, {"pg_up", Type::gauge});
  EXPECT_EQ(clash(families, "pg_up", Type::counter), Clash::declared);
  EXPECT_EQ(families.size(), 1U);
}

TEST(ForeignFamilies, ReservedNamesAreExported) {
  ForeignFamilies families;
  EXPECT_EQ(intern(families, {"up", Type::gauge})->name, "exported_up");
  EXPECT_EQ(intern(families, {"scrape_duration_seconds", Type::gauge})->name,
            "exported_scrape_duration_seconds");
  EXPECT_EQ(intern(families, {"vitalsd_build_info", Type::gauge})->name,
            "exported_vitalsd_build_info");
  EXPECT_EQ(intern(families, {"relay_up", Type::gauge})->name, "exported_relay_up");
  EXPECT_EQ(intern(families, {"upper", Type::gauge})->name, "upper");
}

TEST(ForeignFamilies, InvalidHelpIsMadeValid) {
  ForeignFamilies families;
  EXPECT_EQ(intern(families, {"a", Type::gauge, std::string_view("x\0\xff", 3)})->help,
            "x\ufffd\ufffd");
}

TEST(ForeignFamilies, MayBeUsedByThreads) {
  ForeignFamilies families;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 2'000; ++n) {
        const auto type = n % 2 == 0 ? Type::gauge : Type::histogram;
        const auto family = families.intern({.name = "a", .type = type});
        EXPECT_TRUE(!family || (*family)->type == type);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(families.size(), 0U);
}

// ---- on the page --------------------------------------------------------------------------------

class ForeignPage : public testing::Test {
 protected:
  struct Lines {
    ForeignDeclaration declaration;
    std::string text;
  };

  void publish(const std::vector<Lines>& all) {
    auto fragment = std::make_shared<std::vector<FragmentFamily>>();
    for (const Lines& each : all) {
      auto text = std::make_shared<const std::string>(each.text);
      fragment->push_back({intern(families, each.declaration), *text, text});
    }
    SampleSet set;
    set.attach(std::move(fragment));
    now += std::chrono::seconds(10);
    ledger->publish(set, std::nullopt, {}, now);
  }

  [[nodiscard]] std::string page(Format format) const { return test::page(exposition, {}, format); }

  ForeignFamilies families;
  Exposition exposition;
  std::optional<Ledger> ledger{std::in_place, exposition, "p", R"(probe="p")"};
  Ledger::Time now{};
};

TEST_F(ForeignPage, TranslatesTypes) {
  publish({{{"a_total", Type::counter, "Help."}, "a_total{} 1\n"},
           {{"b", Type::counter}, "b{} 1\n"},
           {{"c_info", Type::info}, "c_info{} 1\n"},
           {{"d", Type::stateset}, "d{d=\"x\"} 1\n"},
           {{"e", Type::unknown}, "e{} 1\n"},
           {{"f_seconds", Type::summary, "", "seconds"}, "f_seconds_sum{} 1\n"},
           {{"g", Type::histogram, "", "seconds"}, "g_count{} 1\n"}});
  EXPECT_EQ(page(Format::text),
            "# HELP a_total Help.\n# TYPE a_total counter\na_total{} 1\n"
            "# TYPE b counter\nb{} 1\n"
            "# TYPE c_info gauge\nc_info{} 1\n"
            "# TYPE d gauge\nd{d=\"x\"} 1\n"
            "# TYPE e untyped\ne{} 1\n"
            "# TYPE f_seconds summary\nf_seconds_sum{} 1\n"
            "# TYPE g histogram\ng_count{} 1\n");
  EXPECT_EQ(page(Format::openmetrics),
            "# HELP a Help.\n# TYPE a counter\na_total{} 1\n"
            "# TYPE b unknown\nb{} 1\n"
            "# TYPE c info\nc_info{} 1\n"
            "# TYPE d stateset\nd{d=\"x\"} 1\n"
            "# TYPE e unknown\ne{} 1\n"
            "# TYPE f_seconds summary\n# UNIT f_seconds seconds\nf_seconds_sum{} 1\n"
            "# TYPE g histogram\ng_count{} 1\n"
            "# EOF\n");
}

TEST_F(ForeignPage, CounterBesideItsBaseIsUnknownInOpenMetrics) {
  publish({{{"alloc_bytes", Type::gauge}, "alloc_bytes{} 1\n"},
           {{"alloc_bytes_total", Type::counter}, "alloc_bytes_total{} 2\n"},
           {{"hits_created", Type::gauge}, "hits_created{} 1\n"},
           {{"hits_total", Type::counter}, "hits_total{} 2\n"}});
  EXPECT_EQ(page(Format::openmetrics),
            "# TYPE alloc_bytes gauge\nalloc_bytes{} 1\n"
            "# TYPE alloc_bytes_total unknown\nalloc_bytes_total{} 2\n"
            "# TYPE hits_created gauge\nhits_created{} 1\n"
            "# TYPE hits_total unknown\nhits_total{} 2\n# EOF\n");
}

TEST_F(ForeignPage, FamilyIsFreedWithItsLastLine) {
  publish({{{"a", Type::gauge}, "a{} 1\n"}, {{"b", Type::gauge}, "b{} 1\n"}});
  EXPECT_EQ(families.size(), 2U);
  const auto scrape = exposition.page(Format::text, {}, {});
  publish({{{"b", Type::gauge}, "b{} 2\n"}});
  EXPECT_EQ(test::text_of(*scrape), "# TYPE a gauge\na{} 1\n# TYPE b gauge\nb{} 1\n");
  EXPECT_EQ(page(Format::text), "# TYPE b gauge\nb{} 2\n");
  publish({{{"c", Type::gauge}, "c{} 3\n"}, {{"b", Type::gauge}, "b{} 2\n"}});
  EXPECT_EQ(page(Format::text), "# TYPE b gauge\nb{} 2\n# TYPE c gauge\nc{} 3\n");
  ledger.reset();
  EXPECT_EQ(page(Format::text), "");
}

TEST_F(ForeignPage, NothingStaysAfterManyNames) {
  for (int i = 0; i < 100; ++i) {
    const std::string name = "metric_" + std::to_string(i);
    publish({{{name, Type::gauge}, name + "{} 1\n"}});
    EXPECT_EQ(families.size(), 1U);
  }
}

TEST_F(ForeignPage, DeclaredFamilyTakesOverTheHeader) {
  families.declare(kDeclared.name, kDeclared.type);
  publish({{{kDeclared.name, Type::gauge, "Foreign."}, "shared_size{} 1\n"}});
  EXPECT_EQ(page(Format::text),
            "# HELP shared_size Foreign.\n# TYPE shared_size gauge\n"
            "shared_size{} 1\n");
  Ledger other(exposition, "q", R"(probe="q")");
  SampleSet set;
  set.add(kDeclared, 2);
  other.publish(set, std::nullopt, {}, now);
  publish({});
  EXPECT_EQ(page(Format::text),
            "# HELP shared_size The declared help text.\n# TYPE shared_size gauge\n"
            "shared_size{probe=\"q\"} 2\n");
  EXPECT_EQ(families.size(), 0U);
}

TEST_F(ForeignPage, ExtraJoinsTheFamilyOfItsName) {
  publish({{{"process_open_fds", Type::gauge, "Foreign."}, "process_open_fds{probe=\"p\"} 1\n"}});
  std::vector<Exposition::Extra> extras;
  extras.push_back({"process_open_fds", "Own.", Type::gauge, "process_open_fds 2\n", {}});
  EXPECT_EQ(test::page(exposition, {}, Format::text, std::move(extras)),
            "# HELP process_open_fds Foreign.\n# TYPE process_open_fds gauge\n"
            "process_open_fds{probe=\"p\"} 1\nprocess_open_fds 2\n");
}

TEST_F(ForeignPage, SelectsDeclaredOrForeignLines) {
  Ledger other(exposition, "q", R"(probe="q")");
  SampleSet set;
  set.add(kDeclared, 2);
  other.publish(set, std::nullopt, {}, now);
  families.declare(kDeclared.name, kDeclared.type);
  const std::string header =
      "# HELP shared_size The declared help text.\n# TYPE shared_size gauge\n";
  const auto selected = [&](Exposition::Families which) {
    return test::page(exposition, {.owner = {}, .families = which});
  };
  // A small chunk shares a slab with the declared one, a large one has its own.
  for (const std::size_t size : {std::size_t{10}, 2 * Exposition::kSlabSize}) {
    const std::string line = "shared_size{x=\"" + std::string(size, 'x') + "\"} 1\n";
    publish({{{kDeclared.name, Type::gauge}, line}, {{"a", Type::gauge}, "a{} 1\n"}});
    EXPECT_EQ(selected(Exposition::Families::declared), header + "shared_size{probe=\"q\"} 2\n");
    EXPECT_EQ(selected(Exposition::Families::foreign), "# TYPE a gauge\na{} 1\n" + header + line);
  }
}

TEST_F(ForeignPage, ManyFamiliesOfOneFragmentAreReplaced) {
  std::vector<std::string> names;
  for (int i = 0; i < 300; ++i) names.push_back("metric_" + std::to_string(1000 + i));
  for (const int run : {1, 2}) {
    std::vector<Lines> lines;
    for (const std::string& name : names) {
      if (run == 2 && name == "metric_1005") continue;
      lines.push_back({{name, Type::gauge}, name + "{} " + std::to_string(run) + "\n"});
    }
    publish(lines);
    const auto samples = test::parse_samples(page(Format::text));
    ASSERT_EQ(samples.size(), lines.size());
    for (const auto& sample : samples) EXPECT_EQ(sample.value, run);
  }
}

TEST_F(ForeignPage, LargeFragmentInAnotherOrderIsReplaced) {
  constexpr int kFamilies = 40'000;
  const auto lines = [](int first, int step, int value) {
    std::vector<Lines> out;
    for (int i = first; i >= 0 && i < kFamilies; i += step) {
      static std::deque<std::string> names;  // the declarations refer to them
      const std::string& name = names.emplace_back("metric_" + std::to_string(i));
      out.push_back({{name, Type::gauge}, name + "{} " + std::to_string(value) + "\n"});
    }
    return out;
  };
  const auto time = [&](const std::vector<Lines>& page) {
    const auto begin = net::thread_cpu_time();
    publish(page);
    return net::thread_cpu_time() - begin;
  };
  publish(lines(0, 1, 1));
  const auto same_order = time(lines(0, 1, 2));
  const auto reversed = time(lines(kFamilies - 1, -1, 3));
  EXPECT_LT(reversed, 4 * same_order);
  const auto samples = test::parse_samples(page(Format::text));
  ASSERT_EQ(samples.size(), std::size_t{kFamilies});
  for (const auto& sample : samples) EXPECT_EQ(sample.value, 3);
}

}  // namespace
}  // namespace vitalsd
