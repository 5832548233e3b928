#include "exporter/model/exposition.hpp"

#include "exporter/model/foreign.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "unit/support/page.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::page;
using test::samples;
using test::samples_of;
using test::text_of;

constexpr Metric kAlpha({.name = "alpha", .help = "The first one."});
constexpr Metric kBeta({.name = "beta_total", .type = Type::counter, .help = "The second one."});
constexpr Metric kFact({.name = "cert_expiry", .help = "The third one.", .keep = Keep::fact});

// An owner with one chunk per family, like a ledger.
class Publisher {
 public:
  Publisher(Exposition& exposition, const std::string& name)
      : exposition_(exposition), owner_(exposition.add_owner(name)) {}
  ~Publisher() {
    for (const auto& [metric, chunk] : chunks_) set(metric, "");
    exposition_.remove_owner(owner_);
  }
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  void set(const MetricInfo& metric, std::string_view lines) { set(MetricRef(&metric), lines); }
  void set(const MetricRef& metric, std::string_view lines) {
    std::array change = {change_of(metric, lines)};
    exposition_.publish(owner_, change);
  }
  void set_both(const MetricInfo& a, std::string_view lines_of_a, const MetricInfo& b,
                std::string_view lines_of_b) {
    std::array changes = {change_of(&a, lines_of_a), change_of(&b, lines_of_b)};
    exposition_.publish(owner_, changes);
  }
  void share(const MetricInfo& metric, std::shared_ptr<const std::string> text) {
    std::array changes = {change_of(&metric, *text)};
    changes[0].keeper = std::move(text);
    exposition_.publish(owner_, changes);
  }

 private:
  Exposition::Change change_of(const MetricRef& metric, std::string_view lines) {
    return {.chunk = &chunks_[metric.get()], .metric = metric, .lines = lines};
  }

  Exposition& exposition_;
  Exposition::Owner owner_;
  std::map<const MetricInfo*, Exposition::Chunk> chunks_;
};

// The pieces that a scrape sends.
std::vector<std::string_view> pieces(const Exposition& exposition) {
  const auto page = exposition.page(Format::text, {}, {});
  return {page->pieces().begin(), page->pieces().end()};
}

TEST(Exposition, IsEmptyWithoutOwners) {
  const Exposition exposition;
  EXPECT_EQ(page(exposition), "");
  EXPECT_EQ(page(exposition, {}, Format::openmetrics), "# EOF\n");
}

TEST(Exposition, SortsFamiliesByNameWithOneHeaderEach) {
  Exposition exposition;
  Publisher p(exposition, "p");
  Publisher q(exposition, "q");
  p.set(kBeta, "beta_total{probe=\"p\"} 2\n");
  p.set(kAlpha, "alpha{probe=\"p\"} 1\n");
  q.set(kAlpha, "alpha{probe=\"q\"} 3\n");
  EXPECT_EQ(page(exposition),
            "# HELP alpha The first one.\n"
            "# TYPE alpha gauge\n"
            "alpha{probe=\"p\"} 1\n"
            "alpha{probe=\"q\"} 3\n"
            "# HELP beta_total The second one.\n"
            "# TYPE beta_total counter\n"
            "beta_total{probe=\"p\"} 2\n");
}

TEST(Exposition, HasTheSameSampleLinesInBothFormats) {
  Exposition exposition;
  Publisher p(exposition, "p");
  p.set_both(kAlpha, "alpha{} 1\n", kBeta, "beta_total{} 2\n");
  const std::string openmetrics = page(exposition, {}, Format::openmetrics);
  EXPECT_EQ(samples_of(openmetrics), samples_of(page(exposition)));
  EXPECT_TRUE(openmetrics.contains("# TYPE beta counter\n"));
  EXPECT_TRUE(openmetrics.ends_with("beta_total{} 2\n# EOF\n"));
}

TEST(Exposition, ReplacesAChunkInPlace) {
  Exposition exposition;
  Publisher p(exposition, "p");
  Publisher q(exposition, "q");
  Publisher r(exposition, "r");
  p.set(kAlpha, "alpha{p} 1\n");
  q.set(kAlpha, "alpha{q} 1\n");
  r.set(kAlpha, "alpha{r} 1\n");
  q.set(kAlpha, "alpha{q} 100000\n");
  EXPECT_EQ(samples(exposition), "alpha{p} 1\nalpha{q} 100000\nalpha{r} 1\n");
  q.set(kAlpha, "alpha 2\n");
  EXPECT_EQ(samples(exposition), "alpha{p} 1\nalpha 2\nalpha{r} 1\n");
}

TEST(Exposition, RemovesTheHeaderWithTheLastChunk) {
  Exposition exposition;
  Publisher p(exposition, "p");
  Publisher q(exposition, "q");
  p.set(kAlpha, "alpha{p} 1\n");
  q.set(kAlpha, "alpha{q} 1\n");
  p.set(kAlpha, "");
  EXPECT_EQ(samples(exposition), "alpha{q} 1\n");
  q.set(kAlpha, "");
  EXPECT_EQ(page(exposition), "");
  q.set(kAlpha, "alpha{q} 2\n");
  EXPECT_EQ(samples(exposition), "alpha{q} 2\n");
}

TEST(Exposition, IgnoresTheRemovalOfAMissingChunk) {
  Exposition exposition;
  Publisher p(exposition, "p");
  p.set(kAlpha, "");
  EXPECT_EQ(page(exposition), "");
}

TEST(Exposition, StoresSmallChunksInSharedSlabs) {
  Exposition exposition;
  std::vector<std::unique_ptr<Publisher>> publishers;
  const std::string line = "alpha{} 1\n";
  const std::size_t per_slab = Exposition::kSlabSize / line.size();
  for (std::size_t i = 0; i < 2 * per_slab + 1; ++i) {
    publishers.push_back(std::make_unique<Publisher>(exposition, std::to_string(i)));
    publishers.back()->set(kAlpha, line);
  }
  EXPECT_EQ(pieces(exposition).size(), 1U + 3U);  // a header, three slabs

  publishers[0].reset();  // frees space in the first slab
  publishers[0] = std::make_unique<Publisher>(exposition, "again");
  publishers[0]->set(kAlpha, line);
  EXPECT_EQ(pieces(exposition).size(), 1U + 3U);
}

TEST(Exposition, StoresALargeChunkInItsOwnSlab) {
  Exposition exposition;
  Publisher p(exposition, "p");
  Publisher q(exposition, "q");
  Publisher r(exposition, "r");
  const std::string big(Exposition::kSlabSize, 'x');
  p.set(kAlpha, "alpha{p} 1\n");
  q.set(kAlpha, big);
  r.set(kAlpha, "alpha{r} 1\n");
  const auto got = pieces(exposition);
  ASSERT_EQ(got.size(), 3U);
  EXPECT_EQ(got[1], "alpha{p} 1\nalpha{r} 1\n");
  EXPECT_EQ(got[2], big);
}

TEST(Exposition, MovesAChunkThatOutgrowsOrFitsASlab) {
  Exposition exposition;
  Publisher p(exposition, "p");
  Publisher q(exposition, "q");
  q.set(kAlpha, "alpha{q} 1\n");
  const std::string big(2 * Exposition::kSlabSize, 'x');
  p.set(kAlpha, "alpha{p} 1\n");
  p.set(kAlpha, big);
  EXPECT_EQ(samples(exposition), "alpha{q} 1\n" + big);
  p.set(kAlpha, "alpha{p} 2\n");
  EXPECT_EQ(samples(exposition).size(), 22U);
}

TEST(Exposition, PublishesSharedTextWithoutACopy) {
  Exposition exposition;
  Publisher p(exposition, "p");
  const auto text =
      std::make_shared<const std::string>(std::string(Exposition::kKeptSize, 'x') + '\n');
  p.set(kAlpha, "alpha{} 0\n");
  p.share(kAlpha, text);
  EXPECT_EQ(pieces(exposition).back().data(), text->data());
  p.set(kAlpha, "alpha{} 2\n");
  EXPECT_EQ(samples(exposition), "alpha{} 2\n");
  EXPECT_EQ(text.use_count(), 1);
}

TEST(Exposition, ShowsOneOwnerOnly) {
  Exposition exposition;
  Publisher p(exposition, "p");
  Publisher q(exposition, "q");
  p.set(kAlpha, "alpha{p} 1\n");
  q.set_both(kAlpha, "alpha{q} 1\n", kBeta, "beta_total{q} 1\n");
  EXPECT_EQ(samples_of(page(exposition, {.readings = true, .owner = "p"})), "alpha{p} 1\n");
  EXPECT_EQ(samples_of(page(exposition, {.readings = true, .owner = "q"})),
            "alpha{q} 1\nbeta_total{q} 1\n");
  EXPECT_EQ(page(exposition, {.readings = true, .owner = "unknown"}), "");
  EXPECT_FALSE(page(exposition, {.readings = true, .owner = "p"}).contains("beta"));
}

TEST(Exposition, HasOwnersUntilTheyAreRemoved) {
  Exposition exposition;
  EXPECT_FALSE(exposition.has_owner("p"));
  {
    const Publisher p(exposition, "p");
    EXPECT_TRUE(exposition.has_owner("p"));
  }
  EXPECT_FALSE(exposition.has_owner("p"));
}

TEST(Exposition, ShowsFactsOnly) {
  Exposition exposition;
  Publisher p(exposition, "p");
  p.set_both(kAlpha, "alpha{p} 1\n", kFact, "cert_expiry{p} 2\n");
  EXPECT_EQ(page(exposition, {.readings = false, .owner = {}}),
            "# HELP cert_expiry The third one.\n# TYPE cert_expiry gauge\ncert_expiry{p} 2\n");
}

// Regression: vitalsd's own series had no header if a relayed page published the same names.
TEST(Exposition, ExtraFamiliesHaveOneHeaderEach) {
  Exposition exposition;
  const auto process = std::make_shared<MetricInfo>();
  process->name = "process_seconds";
  process->help = "Of another process.";
  process->type = Type::gauge;
  Publisher p(exposition, "p");
  p.set(kAlpha, "alpha{p} 1\n");
  p.set(MetricRef(process), "process_seconds{p} 1\n");
  const std::vector<Exposition::Extra> extras = {
      {"process_seconds_total", "CPU time.", Type::counter, "process_seconds_total 3\n", {}},
      {"process_seconds", "Of this one.", Type::gauge, "process_seconds 2\n", {}}};
  const auto text_with = [&](Exposition::Families selected) {
    return page(exposition, {.owner = {}, .families = selected}, Format::text, extras);
  };
  EXPECT_EQ(text_with(Exposition::Families::declared),
            "# HELP alpha The first one.\n# TYPE alpha gauge\nalpha{p} 1\n"
            "# HELP process_seconds Of this one.\n# TYPE process_seconds gauge\n"
            "process_seconds 2\n"
            "# HELP process_seconds_total CPU time.\n# TYPE process_seconds_total counter\n"
            "process_seconds_total 3\n");
  EXPECT_EQ(text_with(Exposition::Families::all),
            "# HELP alpha The first one.\n# TYPE alpha gauge\nalpha{p} 1\n"
            "# HELP process_seconds Of another process.\n# TYPE process_seconds gauge\n"
            "process_seconds{p} 1\nprocess_seconds 2\n"
            "# HELP process_seconds_total CPU time.\n# TYPE process_seconds_total counter\n"
            "process_seconds_total 3\n");
}

// Regression: a name was reserved by a family that the page does not show.
TEST(Exposition, FamiliesThatAreNotShownReserveNoName) {
  Exposition exposition;
  Publisher p(exposition, "p");
  Publisher q(exposition, "q");
  static constexpr Metric kBase({.name = "beta", .help = "The base name."});
  p.set(kBeta, "beta_total{p} 1\n");
  q.set(kBase, "beta{q} 1\n");
  EXPECT_EQ(page(exposition, {.readings = true, .owner = "p"}, Format::openmetrics),
            "# HELP beta The second one.\n# TYPE beta counter\nbeta_total{p} 1\n# EOF\n");
}

TEST(Exposition, SortsExtraFamiliesByName) {
  Exposition exposition;
  Publisher p(exposition, "p");
  p.set_both(kAlpha, "alpha{} 1\n", kFact, "cert_expiry{} 1\n");
  const std::vector<Exposition::Extra> extras = {
      {"zeta_seconds", "Last.", Type::gauge, "zeta_seconds_count 0\n", "histogram"},
      {"aardvark", "First.", Type::gauge, "aardvark 1\n", {}},
      {"beta_total", "Between.", Type::counter, "beta_total 1\n", {}}};
  EXPECT_EQ(page(exposition, {}, Format::openmetrics, extras),
            "# HELP aardvark First.\n# TYPE aardvark gauge\naardvark 1\n"
            "# HELP alpha The first one.\n# TYPE alpha gauge\nalpha{} 1\n"
            "# HELP beta Between.\n# TYPE beta counter\nbeta_total 1\n"
            "# HELP cert_expiry The third one.\n# TYPE cert_expiry gauge\ncert_expiry{} 1\n"
            "# HELP zeta_seconds Last.\n# TYPE zeta_seconds histogram\nzeta_seconds_count 0\n"
            "# EOF\n");
}

TEST(Exposition, PageDoesNotChangeWithLaterPublications) {
  Exposition exposition;
  Publisher p(exposition, "p");
  auto q = std::make_unique<Publisher>(exposition, "q");
  p.set_both(kAlpha, "alpha{p} 1\n", kBeta, "beta_total{p} 1\n");
  q->set_both(kAlpha, "alpha{q} 1\n", kBeta, std::string(Exposition::kSlabSize, 'x') + '\n');
  const auto scraped = exposition.page(Format::text, {}, {});
  const std::string before = text_of(*scraped);

  p.set_both(kAlpha, "alpha{p} 2\n", kBeta, "beta_total{p} 2\n");
  q.reset();  // removes its chunks
  p.set(kFact, "cert_expiry{p} 2\n");
  EXPECT_EQ(text_of(*scraped), before);
  EXPECT_EQ(scraped->size(), before.size());
  EXPECT_EQ(samples(exposition), "alpha{p} 2\nbeta_total{p} 2\ncert_expiry{p} 2\n");
}

TEST(Exposition, PagesContainWholePublications) {
  Exposition exposition;
  Publisher p(exposition, "p");
  constexpr int kRounds = 2'000;
  p.set_both(kAlpha, "alpha 0\n", kBeta, "beta_total 0\n");
  const std::jthread publishing([&] {
    for (int i = 1; i <= kRounds; ++i) {
      const std::string value = std::to_string(i) + '\n';
      p.set_both(kAlpha, "alpha " + value, kBeta, "beta_total " + value);
    }
  });
  double last = 0;
  while (last < kRounds) {
    const auto got = test::parse_samples(page(exposition));
    ASSERT_EQ(got.size(), 2U);
    ASSERT_EQ(got[0].value, got[1].value);
    ASSERT_GE(got[0].value, last);
    last = got[0].value;
  }
}

// After any sequence of changes, the exposition has the content of a map from chunk to text.
TEST(Exposition, MatchesASimpleModel) {
  Exposition exposition;
  std::mt19937 random(9747);
  const auto below = [&](std::size_t n) { return random() % n; };
  constexpr std::array<const MetricInfo*, 3> kMetrics = {&kAlpha, &kBeta, &kFact};
  constexpr std::size_t kOwners = 60;
  std::vector<std::unique_ptr<Publisher>> publishers;
  for (std::size_t i = 0; i < kOwners; ++i) {
    publishers.push_back(std::make_unique<Publisher>(exposition, "p" + std::to_string(i)));
  }
  std::map<std::pair<std::string_view, std::size_t>, std::string> model;  // by family and owner
  for (int step = 0; step < 3'000; ++step) {
    const MetricInfo& metric = *kMetrics[below(kMetrics.size())];
    const std::size_t owner = below(kOwners);
    constexpr std::array<std::size_t, 4> kSizes = {0, 100, 3'000, 2 * Exposition::kSlabSize};
    const std::size_t size = below(kSizes[below(kSizes.size())] + 1);
    std::string text = size == 0 ? "" : std::to_string(owner) + ' ' + std::string(size, 'a') + '\n';
    model[{metric.name, owner}] = text;
    if (below(4) == 0 && !text.empty()) {
      publishers[owner]->share(metric, std::make_shared<const std::string>(std::move(text)));
    } else {
      publishers[owner]->set(metric, std::move(text));
    }
  }
  std::size_t bytes = 0;
  for (std::size_t owner = 0; owner < kOwners; ++owner) {
    std::string expected;
    for (const MetricInfo* metric : kMetrics) expected += model[{metric->name, owner}];
    const std::string name = "p" + std::to_string(owner);
    EXPECT_EQ(samples_of(page(exposition, {.readings = true, .owner = name})), expected);
    bytes += expected.size();
  }
  EXPECT_EQ(samples(exposition).size(), bytes);
}

// ---- the limit of series ------------------------------------------------------------------------

std::string lines_of(const std::string& name, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += name + "{i=\"" + std::to_string(i) + "\"} 1\n";
  return out;
}

std::size_t count_series(const Exposition& exposition) {
  const std::string text = samples(exposition);
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

TEST(ExpositionLimit, TheLargestOwnerPays) {
  Exposition exposition;
  Publisher small(exposition, "small");
  Publisher large(exposition, "large");
  small.set(kAlpha, lines_of("alpha", 3));
  small.set(kBeta, lines_of("beta_total", 2));
  large.set(kAlpha, lines_of("alpha", 10));
  large.set(kBeta, lines_of("beta_total", 40));
  large.set(kFact, lines_of("cert_expiry", 5));
  exposition.set_series_limit(60);
  EXPECT_EQ(count_series(exposition), 60U);
  EXPECT_TRUE(exposition.series().dropped.empty());
  EXPECT_EQ(exposition.series().counts, (SeriesCounts{5, 55, 0}));

  exposition.set_series_limit(59);
  // The lines of a family are left out together, families with earlier names have precedence, and
  // facts are never left out.
  EXPECT_EQ(samples(exposition), lines_of("alpha", 3) + lines_of("alpha", 10) +
                                     lines_of("beta_total", 2) + lines_of("cert_expiry", 5));
  EXPECT_EQ(exposition.series().dropped,
            (std::vector<std::pair<std::string, std::size_t>>{{"large", 40}}));
  // The page of a single probe has no limit.
  EXPECT_EQ(samples_of(page(exposition, {.owner = "large"})),
            lines_of("alpha", 10) + lines_of("beta_total", 40) + lines_of("cert_expiry", 5));

  large.set(kBeta, lines_of("beta_total", 39));
  EXPECT_EQ(count_series(exposition), 59U);
  exposition.set_series_limit(1);
  EXPECT_EQ(samples(exposition), lines_of("cert_expiry", 5));
  exposition.set_series_limit(0);
  EXPECT_EQ(count_series(exposition), 59U);
}

TEST(ExpositionLimit, RelayedSeriesGoFirst) {
  Exposition exposition;
  ForeignFamilies families;
  const auto intern = [&](std::string_view name) {
    return families.intern({.name = name, .type = Type::gauge}).value();
  };
  Publisher p(exposition, "p");
  Publisher relay(exposition, "relay");
  p.set(kAlpha, lines_of("alpha", 30));
  relay.set(intern("b"), lines_of("b", 4));
  relay.set(intern("a"), lines_of("a", 9));
  relay.set(intern("c"), lines_of("c", 2));
  exposition.set_series_limit(40);
  EXPECT_EQ(samples(exposition), lines_of("a", 9) + lines_of("alpha", 30));
  exposition.set_series_limit(36);
  EXPECT_EQ(samples(exposition), lines_of("alpha", 30) + lines_of("b", 4) + lines_of("c", 2));
  EXPECT_EQ(samples_of(page(exposition, {.owner = {}, .families = Exposition::Families::foreign})),
            lines_of("b", 4) + lines_of("c", 2));
  EXPECT_EQ(exposition.series().counts, (SeriesCounts{0, 30, 15}));
  relay.share(kAlpha, std::make_shared<const std::string>(lines_of("alpha", 1000)));
  relay.share(kAlpha, std::make_shared<const std::string>(lines_of("alpha", 20)));
  EXPECT_EQ(exposition.series().counts, (SeriesCounts{0, 50, 15}));
}

// The choice depends only on the series, and the counts are correct after any sequence of changes.
TEST(ExpositionLimit, SameSeriesGiveTheSamePage) {
  constexpr int kOwners = 4;
  std::mt19937 random(7);  // NOLINT(*-msc51-cpp): a fixed seed
  const std::array<const MetricInfo*, 3> metrics = {&kAlpha, &kBeta, &kFact};
  for (int round = 0; round < 50; ++round) {
    Exposition worn;
    Exposition fresh;
    std::deque<Publisher> of_worn;
    std::deque<Publisher> of_fresh;
    std::map<std::pair<int, std::size_t>, std::string> last;
    for (int i = 0; i < kOwners; ++i) {
      of_worn.emplace_back(worn, std::to_string(i));
      of_fresh.emplace_back(fresh, std::to_string(i));
    }
    for (int step = 0; step < 60; ++step) {
      const int owner = static_cast<int>(random() % kOwners);
      const std::size_t metric = random() % metrics.size();
      std::string lines =
          lines_of(std::string(metrics[metric]->name) + std::to_string(owner), random() % 90);
      of_worn[static_cast<std::size_t>(owner)].set(*metrics[metric], lines);
      last[{owner, metric}] = std::move(lines);
    }
    for (const auto& [where, lines] : last) {
      of_fresh[static_cast<std::size_t>(where.first)].set(*metrics[where.second], lines);
    }
    EXPECT_EQ(worn.series().counts, fresh.series().counts);
    for (const std::size_t limit : {1, 50, 100, 200, 400}) {
      worn.set_series_limit(limit);
      fresh.set_series_limit(limit);
      const auto sorted = [](const Exposition& exposition) {
        std::vector<std::string> lines;
        std::istringstream in(samples(exposition));
        for (std::string line; std::getline(in, line);) lines.push_back(line);
        std::ranges::sort(lines);
        return lines;
      };
      EXPECT_EQ(sorted(worn), sorted(fresh));
      EXPECT_LE(count_series(worn), std::max(limit, worn.series().counts[0]));
    }
  }
}

}  // namespace
}  // namespace vitalsd
