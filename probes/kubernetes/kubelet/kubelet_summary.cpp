#include "probes/kubernetes/kubelet/kubelet_summary.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <variant>

#include <boost/json/basic_parser_impl.hpp>

namespace vitalsd::kubernetes {

namespace {

namespace json = boost::json;
using boost::system::error_code;

constexpr std::size_t kMaxBytes = std::size_t{32} << 20;
constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxObjects = 50'000;  // a node has a few hundred pods at most
constexpr std::size_t kMaxName = 64;         // of a member; no member in kPlaces is longer

/// Where a string or number is stored; monostate for an object or list.
using Target = std::variant<std::monostate, std::string*, std::optional<double>*>;

KubeletSummary& whole(KubeletSummary& summary) { return summary; }
PodSummary& pod(KubeletSummary& summary) { return summary.pods.back(); }
ContainerSummary& container(KubeletSummary& summary) { return pod(summary).containers.back(); }
VolumeSummary& volume(KubeletSummary& summary) { return pod(summary).volumes.back(); }
UsageStats& node_usage(KubeletSummary& summary) { return summary.usage; }
UsageStats& pod_usage(KubeletSummary& summary) { return pod(summary).usage; }
UsageStats& container_usage(KubeletSummary& summary) { return container(summary).usage; }
FsStats& node_fs(KubeletSummary& summary) { return summary.fs; }
FsStats& image_fs(KubeletSummary& summary) { return summary.image_fs; }
FsStats& container_fs(KubeletSummary& summary) { return summary.container_fs; }
FsStats& volume_fs(KubeletSummary& summary) { return volume(summary).fs; }

template <auto Part, auto Member>
Target in(KubeletSummary& summary) {
  return &(Part(summary).*Member);
}

struct Place {
  std::string_view path;
  Target (*target)(KubeletSummary&) = nullptr;  // null for an object or a list of objects
};

/// The members in use, sorted by path.
constexpr std::array kPlaces = {
    Place{""},
    Place{"/node"},
    Place{"/node/cpu"},
    Place{"/node/cpu/usageCoreNanoSeconds", in<node_usage, &UsageStats::cpu_seconds>},
    Place{"/node/fs"},
    Place{"/node/fs/availableBytes", in<node_fs, &FsStats::available_bytes>},
    Place{"/node/fs/capacityBytes", in<node_fs, &FsStats::capacity_bytes>},
    Place{"/node/fs/inodes", in<node_fs, &FsStats::inodes>},
    Place{"/node/fs/inodesFree", in<node_fs, &FsStats::inodes_free>},
    Place{"/node/fs/usedBytes", in<node_fs, &FsStats::used_bytes>},
    Place{"/node/memory"},
    Place{"/node/memory/availableBytes", in<node_usage, &UsageStats::memory_available_bytes>},
    Place{"/node/memory/usageBytes", in<node_usage, &UsageStats::memory_usage_bytes>},
    Place{"/node/memory/workingSetBytes", in<node_usage, &UsageStats::memory_working_set_bytes>},
    Place{"/node/nodeName", in<whole, &KubeletSummary::node>},
    Place{"/node/runtime"},
    Place{"/node/runtime/containerFs"},
    Place{"/node/runtime/containerFs/availableBytes", in<container_fs, &FsStats::available_bytes>},
    Place{"/node/runtime/containerFs/capacityBytes", in<container_fs, &FsStats::capacity_bytes>},
    Place{"/node/runtime/containerFs/inodes", in<container_fs, &FsStats::inodes>},
    Place{"/node/runtime/containerFs/inodesFree", in<container_fs, &FsStats::inodes_free>},
    Place{"/node/runtime/containerFs/usedBytes", in<container_fs, &FsStats::used_bytes>},
    Place{"/node/runtime/imageFs"},
    Place{"/node/runtime/imageFs/availableBytes", in<image_fs, &FsStats::available_bytes>},
    Place{"/node/runtime/imageFs/capacityBytes", in<image_fs, &FsStats::capacity_bytes>},
    Place{"/node/runtime/imageFs/inodes", in<image_fs, &FsStats::inodes>},
    Place{"/node/runtime/imageFs/inodesFree", in<image_fs, &FsStats::inodes_free>},
    Place{"/node/runtime/imageFs/usedBytes", in<image_fs, &FsStats::used_bytes>},
    Place{"/pods"},
    Place{"/pods/containers"},
    Place{"/pods/containers/cpu"},
    Place{"/pods/containers/cpu/usageCoreNanoSeconds",
          in<container_usage, &UsageStats::cpu_seconds>},
    Place{"/pods/containers/memory"},
    Place{"/pods/containers/memory/availableBytes",
          in<container_usage, &UsageStats::memory_available_bytes>},
    Place{"/pods/containers/memory/usageBytes",
          in<container_usage, &UsageStats::memory_usage_bytes>},
    Place{"/pods/containers/memory/workingSetBytes",
          in<container_usage, &UsageStats::memory_working_set_bytes>},
    Place{"/pods/containers/name", in<container, &ContainerSummary::name>},
    Place{"/pods/cpu"},
    Place{"/pods/cpu/usageCoreNanoSeconds", in<pod_usage, &UsageStats::cpu_seconds>},
    Place{"/pods/memory"},
    Place{"/pods/memory/availableBytes", in<pod_usage, &UsageStats::memory_available_bytes>},
    Place{"/pods/memory/usageBytes", in<pod_usage, &UsageStats::memory_usage_bytes>},
    Place{"/pods/memory/workingSetBytes", in<pod_usage, &UsageStats::memory_working_set_bytes>},
    Place{"/pods/podRef"},
    Place{"/pods/podRef/name", in<pod, &PodSummary::name>},
    Place{"/pods/podRef/namespace", in<pod, &PodSummary::namespace_name>},
    Place{"/pods/volume"},
    Place{"/pods/volume/availableBytes", in<volume_fs, &FsStats::available_bytes>},
    Place{"/pods/volume/capacityBytes", in<volume_fs, &FsStats::capacity_bytes>},
    Place{"/pods/volume/inodes", in<volume_fs, &FsStats::inodes>},
    Place{"/pods/volume/inodesFree", in<volume_fs, &FsStats::inodes_free>},
    Place{"/pods/volume/name", in<volume, &VolumeSummary::name>},
    Place{"/pods/volume/pvcRef"},
    Place{"/pods/volume/pvcRef/name", in<volume, &VolumeSummary::claim>},
    Place{"/pods/volume/pvcRef/namespace", in<volume, &VolumeSummary::claim_namespace>},
    Place{"/pods/volume/usedBytes", in<volume_fs, &FsStats::used_bytes>},
};
static_assert(std::ranges::is_sorted(kPlaces, {}, &Place::path));

ProbeError bad_summary(const std::string& why) {
  return {Reason::protocol, "/stats/summary: " + why};
}

/// Receives the parser's events. Tracks the path of member names ("/pods/containers/memory").
/// Arrays have no index in the path: an element of "/pods" is appended when it starts, so paths
/// below it refer to the last element.
class Handler {
 public:
  // Limits that basic_parser requires.
  static constexpr std::size_t max_object_size = kMaxBytes;  // NOLINT(*-identifier-naming)
  static constexpr std::size_t max_array_size = kMaxBytes;   // NOLINT(*-identifier-naming)
  static constexpr std::size_t max_key_size = kMaxBytes;     // NOLINT(*-identifier-naming)
  static constexpr std::size_t max_string_size = kMaxBytes;  // NOLINT(*-identifier-naming)

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }

  bool on_object_begin(error_code&) {
    start("an object");
    objects_.push_back(path_.size());
    if (path_ == "/pods") {
      count();
      summary.pods.emplace_back();
    } else if (path_ == "/pods/containers") {
      count();
      pod(summary).containers.emplace_back();
    } else if (path_ == "/pods/volume") {
      count();
      pod(summary).volumes.emplace_back();
    }
    return true;
  }

  bool on_object_end(std::size_t, error_code&) {
    path_.resize(objects_.back());
    objects_.pop_back();
    return true;
  }

  bool on_key_part(json::string_view part, std::size_t, error_code&) {
    return append(part, kMaxName);
  }

  bool on_key(json::string_view part, std::size_t size, error_code&) {
    append(part, kMaxName);
    path_.resize(objects_.back());
    path_ += '/';
    // A name that contains a slash must not match a path.
    path_ += size <= kMaxName && !text_.contains('/') ? text_ : "?";
    text_.clear();
    return true;
  }

  bool on_string_part(json::string_view part, std::size_t, error_code&) {
    return append(part, kMaxBytes);
  }

  bool on_string(json::string_view part, std::size_t, error_code&) {
    append(part, kMaxBytes);
    if (std::string* const text = expect<std::string>("a string")) *text = text_;
    text_.clear();
    return true;
  }

  bool on_int64(std::int64_t value, json::string_view, error_code&) {
    return number(static_cast<double>(value));
  }
  bool on_uint64(std::uint64_t value, json::string_view, error_code&) {
    return number(static_cast<double>(value));
  }
  bool on_double(double value, json::string_view, error_code&) { return number(value); }

  bool on_bool(bool, error_code&) {
    if (const Place* const current = place()) refuse(*current, "a boolean");
    return true;
  }

  bool on_array_begin(error_code&) {
    start("a list");
    return true;
  }

  bool on_array_end(std::size_t, error_code&) { return true; }
  bool on_number_part(json::string_view, error_code&) { return true; }
  bool on_null(error_code&) { return true; }  // same as a missing member
  bool on_comment_part(json::string_view, error_code&) { return true; }
  bool on_comment(json::string_view, error_code&) { return true; }

  KubeletSummary summary;

 private:
  void count() {
    if (++count_ > kMaxObjects) throw bad_summary("too many pods, containers or volumes");
  }

  bool append(json::string_view part, std::size_t max) {
    text_.append(part.data(), std::min(part.size(), max - std::min(max, text_.size())));
    return true;
  }

  /// The place of the next value; null if the member is not in use.
  [[nodiscard]] const Place* place() const {
    const auto* const found =
        std::ranges::lower_bound(kPlaces, std::string_view(path_), {}, &Place::path);
    return found != kPlaces.end() && found->path == path_ ? found : nullptr;
  }

  /// `value` is the type that was found.
  [[noreturn]] void refuse(const Place& current, std::string_view value) {
    constexpr std::array<std::string_view, 3> kExpected = {"an object", "a string", "a number"};
    const Target target = current.target != nullptr ? current.target(summary) : Target();
    throw bad_summary((path_.empty() ? "the document" : path_.substr(1)) + " is " +
                      std::string(value) + ", not " + std::string(kExpected[target.index()]));
  }

  /// Where to store the next string or number; null if the member is not in use. Throws if the
  /// member has another type.
  template <class Value>
  Value* expect(std::string_view value) {
    const Place* const current = place();
    if (current == nullptr) return nullptr;
    const Target target = current->target != nullptr ? current->target(summary) : Target();
    if (auto* const* const found = std::get_if<Value*>(&target)) return *found;
    refuse(*current, value);
  }

  void start(std::string_view value) {
    const Place* const current = place();
    if (current != nullptr && current->target != nullptr) refuse(*current, value);
  }

  bool number(double value) {
    auto* const target = expect<std::optional<double>>("a number");
    if (target == nullptr) return true;
    // The numbers are uint64 in the API.
    if (!(value >= 0 && value <= 0x1p64)) throw bad_summary(path_.substr(1) + " is out of range");
    *target = path_.ends_with("NanoSeconds") ? value / 1e9 : value;
    return true;
  }

  std::string path_;
  std::vector<std::size_t> objects_;  // size of path_ at the start of each open object
  std::string text_;                  // the received part of a key or string
  std::size_t count_ = 0;
};

json::parse_options limits() {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  return options;
}

}  // namespace

struct SummaryReader::State {
  json::basic_parser<Handler> parser{limits()};
  std::size_t size = 0;

  void write(bool more, std::string_view bytes) {
    error_code error;
    const std::size_t used = parser.write_some(more, bytes.data(), bytes.size(), error);
    if (!error && used < bytes.size()) error = json::error::extra_data;
    if (error) {
      throw bad_summary(error.message() + " at byte " + std::to_string(size + used));
    }
    size += used;
  }
};

SummaryReader::SummaryReader() : state_(std::make_unique<State>()) {}
SummaryReader::~SummaryReader() = default;

void SummaryReader::feed(std::string_view bytes) {
  if (bytes.size() > kMaxBytes - state_->size) throw bad_summary("more than 32 MiB");
  state_->write(true, bytes);
}

KubeletSummary SummaryReader::finish() {
  state_->write(false, {});
  KubeletSummary& summary = state_->parser.handler().summary;
  // An error response of the API server is valid JSON, but has no node.
  if (summary.node.empty()) throw bad_summary("node/nodeName is missing");
  return std::move(summary);
}

}  // namespace vitalsd::kubernetes
