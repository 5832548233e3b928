// Reads the page of a target while it arrives, in one pass: Prometheus text format 0.0.4 or
// OpenMetrics 1.0. Each line is copied once, into the text of its family, with the constant labels
// inserted.
#pragma once

#include "exporter/model/foreign.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/options.hpp"
#include "probes/page/dropped.hpp"
#include "probes/page/family_lines.hpp"
#include "probes/page/group_check.hpp"
#include "probes/page/label_names.hpp"
#include "probes/page/sample_line.hpp"
#include "probes/page/series_set.hpp"

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

/// The first line that was left out.
struct FirstDropped {
  Dropped reason = Dropped::invalid;
  std::size_t line = 0;  ///< its number, if the line itself is the reason
  std::string family{};  ///< the name of its family, if it is known
};

/// A family whose lines violate the rules of its type, see GroupCheck.
struct Misfit {
  std::string family;
  Type type = Type::unknown;
};

/// Why the lines of a family are left out that cannot be interned.
Dropped reason_of(ForeignFamilies::Clash clash);

/// What to publish of a page.
struct Rules {
  std::vector<net::Pattern> keep;  ///< names of families; empty: all
  std::vector<net::Pattern> drop;  ///< names of families, after `keep`
  LabelNames::Renames rename_labels;
  std::size_t max_series = 100'000;
};

class PageReader {
 public:
  static constexpr std::size_t kMaxLine = std::size_t{64} << 10;

  /// Every line gets `constant_labels` (`probe="x",instance="y"`), which are not empty; a label of
  /// the page with one of their names becomes exported_NAME. `previous` is the page of the previous
  /// run, or null: lines that have not changed are shared with it. `rules` must outlive the object.
  PageReader(const Rules& rules, ForeignFamilies& foreign, std::string constant_labels,
             bool openmetrics, Fragment previous);

  /// Parses a piece of the page. Throws ProbeError(mismatch) if it is a page of vitalsd that
  /// contains the lines of this reader, because the page would grow with each run.
  void feed(std::string_view bytes);

  /// Returns the lines of all families; null if there are none. Must be called once, after the last
  /// piece. Throws ProbeError(protocol) if an OpenMetrics page has no end mark, because it is then
  /// truncated.
  Fragment finish();

  [[nodiscard]] const DroppedLines& dropped() const { return dropped_; }
  [[nodiscard]] const std::optional<FirstDropped>& first_dropped() const { return first_dropped_; }
  /// The first of the families that are published as unknown because of their lines.
  [[nodiscard]] const std::optional<Misfit>& first_misfit() const { return first_misfit_; }
  /// Whether a line has a timestamp, which is not published.
  [[nodiscard]] bool has_timestamps() const { return has_timestamps_; }
  /// The number of families that match each of the patterns to keep.
  [[nodiscard]] const std::vector<std::size_t>& kept() const { return kept_; }
  /// The number of series that were read. Series that were left out before finish() do not count.
  [[nodiscard]] std::size_t series() const { return series_.size() - cut_series_; }

 private:
  static constexpr std::size_t kNone = SIZE_MAX;
  static constexpr std::size_t kTooMany = kNone - 1;

  struct Family {
    std::string name;  // see ForeignDeclaration
    Type type = Type::unknown;
    std::string help;
    std::string unit;
    bool exported = false;  // published as exported_NAME
    bool is_cut = false;    // a histogram or summary that exceeds max_series
    FamilyLines lines;
    GroupCheck check{};
    std::pair<std::size_t, std::size_t> count{};  // the last _count in `lines`: offset and size
  };
  // The family and the role of the samples with one name.
  struct Entry {
    std::size_t family = kNone;  // kNone: not selected, or _created; kTooMany: beyond the limit
    Role role = Role::value;
  };
  // The identity of the line that was read.
  struct Identity {
    std::uint64_t series = 0;
    std::uint64_t group = 0;
    const std::string_view* bound = nullptr;  // see GroupCheck::take
  };
  // Not noexcept: libstdc++ then stores the hash of each key, and does not compute the hashes of
  // all keys of a bucket in each search.
  struct Hash {
    using is_transparent = void;  // NOLINT(*-identifier-naming)
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  template <class T>
  using ByName = std::unordered_map<std::string, T, Hash, std::equal_to<>>;

  void drop(Dropped reason, std::size_t lines = 1, std::string_view family = {}) {
    if (family.empty()) {
      dropped_.add(reason, lines, "line " + std::to_string(line_number_));
    } else {
      dropped_.add(reason, lines, family);
    }
    if (!first_dropped_) first_dropped_ = {reason, line_number_, std::string(family)};
  }
  void read_line(std::string_view line);
  void read_comment(std::string_view line);
  void read_sample(std::string_view line);
  void declare(const std::string& name, std::string_view type_word);
  /// Whether the rules publish the family.
  bool selects(std::string_view family);
  const Entry& entry_of(std::string_view name);
  void cut(Family& family);
  std::optional<Identity> identify(const Family& family, Role role);
  std::string_view published_line(const Family& family);
  void correct_count(Family& family);
  std::size_t add_family(const std::string& raw_name, std::string name, Type type);
  void publish(Family& family, std::vector<FragmentFamily>& out);
  void publish(const ForeignDeclaration& declaration, FamilyLines& lines,
               std::vector<FragmentFamily>& out);
  [[nodiscard]] const FragmentFamily* previous_of(std::string_view name) const;

  const Rules& rules_;
  ForeignFamilies& foreign_;
  std::string constant_labels_;
  std::string first_labels_;  // an opening brace, the constant labels, a comma
  LabelNames label_names_;
  bool openmetrics_;
  Fragment previous_;
  ByName<const FragmentFamily*> previous_families_;

  std::string partial_line_;  // until the rest of it arrives
  bool skipping_ = false;     // the rest of a line that is too long is skipped
  bool ended_ = false;        // the line # EOF has been read
  SampleLine line_;
  std::string published_;  // the last line that was published
  bool follows_ = false;   // the bytes of the last sample line still exist
  std::vector<std::size_t> kept_;
  std::vector<Family> families_;
  ByName<std::size_t> by_name_;  // indices of families
  ByName<Entry> entries_;        // by the name of samples
  // Adjacent lines usually have the same name.
  std::string last_name_;
  Entry last_entry_;
  std::uint64_t last_name_hash_ = 0;  // of the name under which it is published
  // HELP and UNIT lines precede or follow the TYPE line of their family.
  std::string meta_name_;  // of the last HELP, TYPE or UNIT line
  std::string meta_help_;
  std::string meta_unit_;
  std::size_t declared_ = kNone;  // the family of the last TYPE line
  SeriesSet series_;
  std::size_t cut_series_ = 0;  // series of families that were cut
  DroppedLines dropped_;
  std::optional<FirstDropped> first_dropped_;
  std::optional<Misfit> first_misfit_;
  std::size_t line_number_ = 0;
  bool has_timestamps_ = false;
};

}  // namespace vitalsd::page
