#include "exporter/model/sample_set.hpp"

#include "config/problems.hpp"
#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::string_literals;

constexpr Metric kUp({.name = "server_up", .help = "Whether the server serves."});
constexpr Metric kSize({.name = "table_rows", .help = "Rows of a table."}, "schema", "table");
constexpr Metric kLocks({.name = "locks_held", .help = "Locks by mode."}, "mode");

struct Rendered {
  std::string lines;
  std::size_t families = 0;
  std::size_t duplicates = 0;
};

Rendered render(const Part& part, std::string_view constant_labels = R"(probe="p")") {
  Rendered out;
  Rendering rendering;
  part.render(rendering, constant_labels, out.duplicates);
  out.families = rendering.families.size();
  for (const Rendering::Family& family : rendering.families) out.lines += rendering.lines(family);
  return out;
}

TEST(Part, RendersConstantLabelsFirst) {
  Part part;
  part.add(kUp, 1);
  part.add(kSize, 2.5, "public", "users");
  EXPECT_EQ(render(part, R"(probe="p",team="x")").lines,
            "server_up{probe=\"p\",team=\"x\"} 1\n"
            "table_rows{probe=\"p\",team=\"x\",schema=\"public\",table=\"users\"} 2.5\n");
}

TEST(Part, RendersWithoutConstantLabels) {
  Part part;
  part.add(kUp, 1);
  part.add(kLocks, 3, "row");
  EXPECT_EQ(render(part, "").lines, "server_up{} 1\nlocks_held{mode=\"row\"} 3\n");
}

TEST(Part, ReplacesTheInstance) {
  Part part;
  part.set_instance("n\"1");
  part.add(kUp, 1);
  EXPECT_EQ(render(part, R"(probe="p",team=",instance=\"x\"",instance="p")").lines,
            R"(server_up{probe="p",team=",instance=\"x\"",instance="n\"1"} 1)"
            "\n");
  EXPECT_EQ(render(part).lines, R"(server_up{probe="p",instance="n\"1"} 1)"
                                "\n");
  EXPECT_EQ(render(part, "").lines, R"(server_up{instance="n\"1"} 1)"
                                    "\n");
  part.clear();
  part.add(kUp, 1);
  EXPECT_EQ(render(part, R"(probe="p",instance="p")").lines,
            R"(server_up{probe="p",instance="p"} 1)"
            "\n");
}

TEST(Part, GroupsFamiliesInTheOrderOfTheirFirstSamples) {
  Part part;
  part.add(kLocks, 1, "row");
  part.add(kUp, 1);
  part.add(kLocks, 2, "table");
  const Rendered out = render(part);
  EXPECT_EQ(out.families, 2U);
  EXPECT_EQ(out.lines,
            "locks_held{probe=\"p\",mode=\"row\"} 1\n"
            "locks_held{probe=\"p\",mode=\"table\"} 2\n"
            "server_up{probe=\"p\"} 1\n");
}

// Compares the result with that of a simple model. The random input has rows of tables, families
// whose samples are not adjacent, and duplicates.
TEST(Part, GroupsFamiliesInAnyOrder) {
  std::mt19937 random(1);  // NOLINT(*-msc51-cpp): the same sequence in each run
  const auto below = [&](std::size_t count) { return random() % count; };
  const std::array<const MetricInfo*, 3> metrics = {&kUp, &kSize, &kLocks};
  for (int round = 0; round < 200; ++round) {
    Part part;
    std::vector<std::pair<const MetricInfo*, std::string>> expected;
    std::set<std::string> lines;
    std::size_t duplicates = 0;
    const std::size_t values = 1 + below(40);
    for (std::size_t left = below(100); left > 0; --left) {
      const MetricInfo* const metric = metrics.at(below(3));
      const std::string value = std::to_string(below(values));
      const std::vector<std::string_view> labels(metric->label_count, value);
      part.add_values(*metric, 1, labels);
      std::string line = std::string(metric->name) + "{probe=\"p\"";
      for (std::size_t i = 0; i < labels.size(); ++i) {
        append_label(line, metric->label_names.at(i), value);
      }
      line += "} 1\n";
      if (lines.insert(line).second) {
        expected.emplace_back(metric, line);
      } else {
        ++duplicates;
      }
    }
    std::vector<const MetricInfo*> order;
    for (const auto& [metric, line] : expected) {
      if (std::ranges::find(order, metric) == order.end()) order.push_back(metric);
    }
    std::string text;
    for (const MetricInfo* const family : order) {
      for (const auto& [metric, line] : expected) text += metric == family ? line : "";
    }
    const Rendered out = render(part);
    EXPECT_EQ(out.lines, text);
    EXPECT_EQ(out.families, order.size());
    EXPECT_EQ(out.duplicates, duplicates);
  }
}

TEST(Part, DropsAndCountsDuplicates) {
  Part part;
  part.add(kLocks, 1, "row");
  part.add(kLocks, 2, "row");
  part.add(kUp, 1);
  part.add(kUp, 0);
  const Rendered out = render(part);
  EXPECT_EQ(out.duplicates, 2U);
  EXPECT_EQ(out.lines, "locks_held{probe=\"p\",mode=\"row\"} 1\nserver_up{probe=\"p\"} 1\n");
}

TEST(Part, DistinguishesLabelsWithEqualConcatenations) {
  Part part;
  part.add(kSize, 1, "a", "bc");
  part.add(kSize, 2, "ab", "c");
  part.add(kSize, 3, "", "abc");
  EXPECT_EQ(render(part).duplicates, 0U);
}

TEST(Part, OmitsUnknownValues) {
  Part part;
  part.add(kUp, std::optional<int>());
  part.add(kLocks, std::nan(""), "row");
  part.add(kLocks, std::optional<std::int64_t>(7), "table");
  EXPECT_EQ(render(part).lines, "locks_held{probe=\"p\",mode=\"table\"} 7\n");
}

TEST(Part, EscapesLabelValues) {
  Part part;
  part.add(kLocks, 1, "a\"b\\c\nd");
  EXPECT_EQ(render(part).lines, "locks_held{probe=\"p\",mode=\"a\\\"b\\\\c\\nd\"} 1\n");
}

TEST(Part, ReplacesInvalidUtf8AndNulInLabelValues) {
  Part part;
  part.add(kLocks, 1, "a\0b"s);
  part.add(kLocks, 2, "\xff");
  part.add(kLocks, 3, "é");
  EXPECT_EQ(render(part).lines,
            "locks_held{probe=\"p\",mode=\"a\ufffdb\"} 1\n"
            "locks_held{probe=\"p\",mode=\"\ufffd\"} 2\n"
            "locks_held{probe=\"p\",mode=\"é\"} 3\n");
}

TEST(Part, AcceptsLabelsAtRunTime) {
  Part part;
  const std::vector<std::string_view> labels = {"public", "users"};
  part.add_values(kSize, 1, labels);
  EXPECT_EQ(part.sample(0).labels, "public\0users\0"s);
  EXPECT_EQ(part.sample(0).metric, &kSize);
}

TEST(Part, KeepsTheFirstFailure) {
  Part part;
  EXPECT_FALSE(part.failure());
  part.fail(Reason::mismatch, "first");
  part.fail(Reason::connect, "second");
  EXPECT_EQ(part.failure()->reason, Reason::mismatch);
  EXPECT_EQ(part.failure()->detail, "first");
}

TEST(Part, CollectsReadingsOfChecks) {
  static constexpr Check kCheck{.name = "age", .warn = {}, .critical = {}, .help = ""};
  Part part;
  part.check(kCheck, 5, "a", {.warn = 1, .critical = {}});
  ASSERT_EQ(part.checks().size(), 1U);
  EXPECT_EQ(part.checks()[0].reading, 5);
  EXPECT_EQ(part.checks()[0].object, "a");
  EXPECT_EQ(part.checks()[0].thresholds.warn, 1);
}

TEST(SampleSet, CreatesAPartOnce) {
  SampleSet set;
  Part& first = set.part("a");
  set.part("b");
  EXPECT_EQ(&set.part("a"), &first);
  EXPECT_EQ(set.parts().size(), 2U);
  set.part("bad\xff");
  EXPECT_TRUE(set.parts().contains("bad\ufffd"));
}

TEST(SampleSet, SucceedsIfAllPartsSucceed) {
  SampleSet set;
  set.part("a");
  set.part("b");
  EXPECT_FALSE(set.overall(std::nullopt));
}

TEST(SampleSet, ReportsTheFirstFailedPart) {
  SampleSet set;
  set.part("a");
  set.part("b").fail(Reason::tls, "expired");
  EXPECT_EQ(set.overall(std::nullopt)->reason, Reason::tls);
  EXPECT_EQ(set.overall(std::nullopt)->detail, "b: expired");
  set.part("c").fail(Reason::connect, "refused");
  set.part("d").fail(Reason::connect, "refused");
  EXPECT_EQ(set.overall(std::nullopt)->detail, "b: expired (and 2 more)");
}

TEST(SampleSet, ConcealsSecretsInFailures) {
  SampleSet set;
  set.conceal("hunter22");
  set.conceal("hunter");  // part of the other secret
  set.conceal("app");     // too short to be replaced
  set.part("a").fail(Reason::auth, "app: hunter22 and hunter, hunter22");
  EXPECT_EQ(set.overall(std::nullopt)->detail, "a: app: *** and ***, ***");
  EXPECT_EQ(set.overall(Failure{Reason::auth, "no hunter22"})->detail, "no ***");
}

TEST(SampleSet, ConcealsASecretAtTheEndOfALongText) {
  SampleSet set;
  const std::string token = [] {
    std::string text;
    for (int i = 0; i < 1300; ++i) text += static_cast<char>('a' + i % 26);
    return text;
  }();
  set.conceal(token);
  const std::string detail =
      set.overall(Failure{Reason::protocol, token + token + token + token + token})->detail;
  EXPECT_EQ(detail.find("abc"), std::string::npos) << detail;
}

// A probe that quotes a part of a response may cut a secret.
TEST(SampleSet, ConcealsTheStartOfALongSecret) {
  SampleSet set;
  set.conceal("AKIAABCDEFGHIJKLMNOPQRSTUVWXYZ");
  EXPECT_EQ(set.shown("key 'AKIAABCDEFGHIJKLMN…' of AKIAABCDEFGHIJKLMNOPQRSTUVWXYZ"),
            "key '***…' of ***");
  EXPECT_EQ(set.shown("key 'AKIAABCD'"), "key 'AKIAABCD'");
}

// A cut text ends with "…", so the start of a short secret before it is known to be one.
TEST(SampleSet, ConcealsTheStartOfASecretAtACut) {
  SampleSet set;
  set.conceal("pTOKabcdefghij");
  set.conceal("AKIAABCDEFGHIJKLMNOPQRSTUVWXYZ");
  EXPECT_EQ(set.shown("is 'ppp" + std::string("pTOKabcdefg…', expected 'pTOK…'")),
            "is 'ppp***…', expected '***…'");
  EXPECT_EQ(set.shown("'AKIAABC…' or 'A…'"), "'***…' or '***…'");
  EXPECT_EQ(set.shown("'pTOK' or 'x…'"), "'pTOK' or 'x…'");
  // Text of every length before the secret, cut by either function.
  for (std::size_t size = 0; size < 100; ++size) {
    const std::string text = std::string(size, 'x') + "pTOKabcdefghij";
    EXPECT_FALSE(set.shown(config::quoted(text)).contains("pT")) << size;
    EXPECT_FALSE(set.shown(shown_text(text, 80)).contains("pT")) << size;
  }
}

// quoted() takes the text before '@' for the credentials of a URL.
TEST(SampleSet, ConcealsASecretWithAnAt) {
  SampleSet set;
  set.conceal("pass@word@1234");
  EXPECT_EQ(set.shown(config::quoted("http://pass@word@1234")), "'http://***'");
  EXPECT_EQ(set.shown(config::quoted("token:pass@word@1234")), "'***'");
  EXPECT_EQ(set.shown("pass@word@1234"), "***");
}

TEST(SampleSet, ShowsAMessageWithoutSecretsAndControlCharacters) {
  SampleSet set;
  EXPECT_EQ(set.message(), "");
  set.show("first\tline of hunter22");
  set.show("\x1b[31msecond\u202e\n\xff");
  set.conceal("hunter22");
  EXPECT_EQ(set.message(), "first\tline of ***\n\ufffd[31msecond\ufffd\n\ufffd");
  set.show(std::string(1'000'000, 'x'));
  EXPECT_LT(set.message().size(), 10'010U);
  EXPECT_TRUE(set.message().ends_with("xx…"));
}

// The text of a target appears in logs, pages and terminals.
TEST(SampleSet, ReplacesControlCharactersInFailures) {
  SampleSet set;
  const auto shown = [&](const std::string& detail) {
    return set.overall(Failure{Reason::protocol, detail})->detail;
  };
  EXPECT_EQ(shown("a\x1b[31mb\x07"), "a\ufffd[31mb\ufffd");
  EXPECT_EQ(shown("a\nb\tc"), "a b c");
  EXPECT_EQ(shown("a\u009bb"), "a\ufffdb");  // C1: CSI
  EXPECT_EQ(shown("a\u202eb\u2066c"),
            "a\ufffdb\ufffdc");  // marks that change the direction of writing
  EXPECT_EQ(shown("Größe \u20ac 🙂"), "Größe \u20ac 🙂");
  EXPECT_EQ(shown("\xff\xfe"), "\ufffd\ufffd");
  const std::string large = shown(std::string(1'000'000, 'x'));
  EXPECT_EQ(large, std::string(500, 'x') + "…");
}

TEST(SampleSet, PrefersThrownOverReportedFailures) {
  SampleSet set;
  set.part("a").fail(Reason::tls, "expired");
  set.fail(Reason::unready, "loading");
  EXPECT_EQ(set.overall(std::nullopt)->reason, Reason::unready);
  EXPECT_EQ(set.overall(Failure{Reason::timeout, "late"})->reason, Reason::timeout);
}

TEST(SampleSet, FailsIncompletePartsOfAThrownRun) {
  SampleSet set;
  set.part("done").complete();
  set.part("failed").fail(Reason::tls, "expired");
  set.part("started");
  const std::optional<Failure> thrown = Failure{Reason::timeout, "late"};
  const auto outcome = [&](std::string_view key, const std::optional<Failure>& how) {
    return SampleSet::outcome_of(set.parts().find(key)->second, how);
  };
  EXPECT_FALSE(outcome("done", thrown));
  EXPECT_EQ(outcome("failed", thrown)->reason, Reason::tls);
  EXPECT_EQ(outcome("started", thrown)->reason, Reason::timeout);
  EXPECT_FALSE(outcome("started", std::nullopt));
}

}  // namespace
}  // namespace vitalsd
