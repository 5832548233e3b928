// Reads the page of a target while it arrives, in one pass: Prometheus text format 0.0.4 or
// OpenMetrics 1.0. Each line is copied once, into the text of its family, with the constant labels
// inserted. Probe loop only.
#pragma once

#include "exporter/model/foreign.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/options.hpp"
#include "probes/page/group_check.hpp"
#include "probes/page/label_names.hpp"
#include "probes/page/sample_line.hpp"
#include "probes/page/series_set.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace vitalsd::page {

/// Why a line was left out.
enum class Dropped : unsigned char {
  invalid,    ///< not a valid line, or longer than the limit
  duplicate,  ///< the page has the series twice
  limit,      ///< the page has too many series or families
  type,       ///< another target publishes the family with another type
  name,       ///< another family has samples of the same name
  declared,   ///< vitalsd declares the family with another type
};
constexpr std::array<std::string_view, 6> kDroppedNames = {"invalid", "duplicate", "limit",
                                                           "type",    "name",      "declared"};
/// The first line that was left out.
struct FirstDropped {
  Dropped reason = Dropped::invalid;
  std::size_t line = 0;  ///< its number, if the reason is one of the line itself
  std::string family{};  ///< the name of its family, if it is known
};
using DroppedCounts = std::array<std::uint64_t, kDroppedNames.size()>;

/// What to publish of a page.
struct Rules {
  std::vector<net::Pattern> keep;  ///< names of families; empty: all
  std::vector<net::Pattern> drop;  ///< names of families, after `keep`
  LabelNames::Renames rename_labels;
  std::size_t max_series = 100'000;

  /// Whether the family is published.
  [[nodiscard]] bool selects(std::string_view family) const;
};

class PageReader {
 public:
  static constexpr std::size_t kMaxLine = std::size_t{64} << 10;

  /// Every line gets `constant_labels` (`probe="x",instance="y"`), which are not empty; a label of
  /// the page with one of their names becomes exported_NAME. `previous`: the page of the run
  /// before, or null, whose lines are shared where they are the same. `rules` must outlive the
  /// object.
  PageReader(const Rules& rules, ForeignFamilies& foreign, std::string constant_labels,
             bool openmetrics, Fragment previous);

  /// Takes a piece of the page. Throws ProbeError(mismatch) if it is a page of vitalsd with the
  /// lines of this reader, which would grow with each run.
  void feed(std::string_view bytes);

  /// Returns the lines of all families; null if there are none. Call it once, after the last piece.
  /// Throws ProbeError(protocol) if the page is truncated, that is, OpenMetrics without its end.
  Fragment finish();

  [[nodiscard]] const DroppedCounts& dropped() const { return dropped_; }
  [[nodiscard]] const std::optional<FirstDropped>& first_dropped() const { return first_dropped_; }
  /// Whether a line has a timestamp, which is not published.
  [[nodiscard]] bool has_timestamps() const { return has_timestamps_; }
  /// The number of lines that were read, and not left out before finish().
  [[nodiscard]] std::size_t series() const { return series_.size() - cut_series_; }

 private:
  static constexpr std::size_t kNone = SIZE_MAX;
  static constexpr std::size_t kTooMany = kNone - 1;

  struct Family {
    std::string name;  // as in ForeignDeclaration
    Type type = Type::unknown;
    std::string help;
    std::string unit;
    bool exported = false;  // published as exported_NAME
    bool is_cut = false;    // a histogram or summary that exceeds max_series
    std::string text;       // the lines
    std::size_t lines = 0;
    GroupCheck check{};
  };
  // What the samples of a name are.
  struct Entry {
    std::size_t family = kNone;  // kNone: not selected, or _created; kTooMany: beyond the limit
    Role role = Role::value;
  };
  // What identifies the line that was read.
  struct Identity {
    std::uint64_t series = 0;
    std::uint64_t group = 0;
    const std::string_view* bound = nullptr;  // see GroupCheck::take
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;  // NOLINT(*-identifier-naming)
  };
  template <class T>
  using ByName = std::unordered_map<std::string, T, Hash, std::equal_to<>>;

  void count(Dropped reason, std::size_t lines = 1, std::string_view family = {}) {
    dropped_[static_cast<std::size_t>(reason)] += lines;
    if (!first_dropped_) first_dropped_ = {reason, line_number_, std::string(family)};
  }
  void read_line(std::string_view line);
  void read_comment(std::string_view line);
  void read_sample(std::string_view line);
  void declare(const std::string& name, std::string_view type_word);
  Entry entry_of(std::string_view name);
  void cut(Family& family);
  std::optional<Identity> identify(const Family& family, Role role);
  void append(Family& family, bool is_verbatim);
  std::size_t add_family(const std::string& raw_name, std::string name, Type type);
  void publish(Family& family, std::vector<FragmentFamily>& out);
  void publish(const ForeignDeclaration& declaration, std::string text, std::size_t lines,
               std::vector<FragmentFamily>& out);

  const Rules& rules_;
  ForeignFamilies& foreign_;
  std::string constant_labels_;
  LabelNames label_names_;
  bool openmetrics_;
  Fragment previous_;
  ByName<const FragmentFamily*> previous_families_;

  std::string partial_line_;  // until the rest of it arrives
  bool skipping_ = false;     // the rest of a line that is too long
  bool ended_ = false;        // # EOF
  SampleLine line_;
  std::vector<Family> families_;
  ByName<std::size_t> by_name_;  // indices of families
  ByName<Entry> entries_;        // by the name of samples
  std::string last_name_;        // adjacent lines mostly have one name
  Entry last_entry_;
  // HELP and UNIT lines precede or follow the TYPE line of their family.
  std::string meta_name_;  // of the last HELP, TYPE or UNIT line
  std::string meta_help_;
  std::string meta_unit_;
  std::size_t declared_ = kNone;  // the family of the TYPE line with this name
  SeriesSet series_;
  std::size_t cut_series_ = 0;  // of those, in families that were cut
  DroppedCounts dropped_{};
  std::optional<FirstDropped> first_dropped_;
  std::size_t line_number_ = 0;
  bool has_timestamps_ = false;
};

}  // namespace vitalsd::page
