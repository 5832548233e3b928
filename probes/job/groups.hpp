// The metrics that a job has pushed, by group, as the Pushgateway keeps them, but for a limited
// time. Pure: a copy is cheap, because copies share the groups, and may be changed on any thread.
#pragma once

#include "exporter/model/foreign.hpp"
#include "exporter/model/metric.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/job/group_key.hpp"
#include "probes/page/dropped.hpp"
#include "probes/page/page_reader.hpp"

#include <cstddef>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

namespace vitalsd::job {

constexpr Metric kPushTime(
    {.name = "push_time_seconds",
     .unit = Unit::seconds,
     .help = "When the group was last pushed, in Unix time; 0: never. Has the "
             "labels of the group."});
constexpr Metric kPushFailureTime(
    {.name = "push_failure_time_seconds",
     .unit = Unit::seconds,
     .help = "When a push to the group was last refused, in Unix time; "
             "0: never. Has the labels of the group."});

class Groups {
 public:
  static constexpr std::size_t kMaxGroups = 1'000;
  static constexpr std::size_t kMaxSeries = 10'000;               // of all groups
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20;  // of all groups

  enum class Replace : unsigned char { families, group };  ///< POST, PUT

  /// `name` is the name of the job.
  explicit Groups(std::string name = {}) : name_(std::move(name)) {}

  /// The result of a push: what is published of it.
  struct Accepted {
    std::size_t series = 0;
    /// Families that vitalsd declares, which are left out, and the number of their lines.
    std::vector<std::string> declared{};
    std::size_t declared_series = 0;
    /// Counts of histograms that differ from the last bucket, which is published in their place.
    std::size_t replaced_counts = 0;
  };

  /// Takes the body of a push in the text format 0.0.4: all of it, or nothing if it is invalid,
  /// inconsistent with another group, or too large. `declared` has the families of vitalsd.
  std::expected<Accepted, PushAnswer> push(const GroupLabels& labels, std::string_view body,
                                           Replace replace, const ForeignFamilies& declared,
                                           double now);
  /// Records that a push to the group was refused at `now`. Does not record a group that would
  /// exceed the limit of groups.
  void refused(const GroupLabels& labels, double now);
  /// Has no effect if there is no such group.
  void remove(const GroupLabels& labels);
  /// Removes groups whose last push was more than `ttl` seconds ago. Returns whether anything has
  /// changed. The time of a push that is after `now` becomes `now`: the clock was set back.
  bool expire(double now, double ttl);
  /// Removes all groups. Returns whether there were any.
  bool clear();

  [[nodiscard]] std::size_t size() const { return groups_->size(); }
  /// The bytes of all lines.
  [[nodiscard]] std::size_t bytes() const;

  /// All groups as a page in the text format 0.0.4, with `push_time_seconds` and
  /// `push_failure_time_seconds`. A line has the labels of its group.
  [[nodiscard]] std::string page() const { return page_of(*groups_); }

  /// The families of page(), whose lines begin with the labels of the probe.
  struct Rendered {
    Fragment families{};           ///< null: there are none
    page::DroppedLines dropped{};  ///< lines that cannot be published with these labels
    std::optional<page::FirstDropped> first_dropped{};
  };
  /// Parses page(), unless the last change or the last call did so with the same labels. Later
  /// pushes use these labels.
  const Rendered& render(const std::string& labels);
  /// Whether render() has been called with these labels, and the groups are those of `other`.
  [[nodiscard]] bool is_rendered(const Groups& other, const std::string& labels) const {
    return rendered_of_ == other.groups_ && labels_ == labels;
  }
  /// Takes over the result of render() from a copy.
  void share_rendering(const Groups& copy);

  [[nodiscard]] boost::json::array to_json() const;
  /// Throws std::exception if the text is not that of to_json().
  void restore(const boost::json::value& saved);

 private:
  struct Family {
    Type type = Type::unknown;
    std::string help;
    std::string lines;  // with the labels of the group
  };
  using Families = std::map<std::string, std::shared_ptr<const Family>, std::less<>>;  // by name
  struct Group {
    double pushed = 0;  // Unix time; 0: never
    double failed = 0;
    Families families;
  };
  using ByLabels = std::map<std::string, Group>;  // `job="x",a="b"`

  struct Body {
    Families families;
    Accepted accepted;
  };
  static std::expected<Body, PushAnswer> read(std::string_view body, const std::string& labels,
                                              const ForeignFamilies& declared);
  std::expected<void, PushAnswer> accept(ByLabels groups);
  [[nodiscard]] Rendered parse(std::string_view page) const;
  void set(ByLabels groups) { groups_ = std::make_shared<const ByLabels>(std::move(groups)); }
  [[nodiscard]] std::string page_of(const ByLabels& groups) const;

  std::string name_;
  std::shared_ptr<const ByLabels> groups_ = std::make_shared<const ByLabels>();
  std::string labels_ = R"(probe="")";  // of the probe
  Rendered rendered_;
  std::shared_ptr<const ByLabels> rendered_of_;
};

}  // namespace vitalsd::job
