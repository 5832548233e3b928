#include "probes/kubernetes/kubelet_summary.hpp"

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

constexpr std::size_t kMostBytes = std::size_t{32} << 20;
constexpr std::size_t kMostDepth = 32;
constexpr std::size_t kMostObjects = 50'000;  // a node has at most some hundred pods
constexpr std::size_t kMostName = 64;         // of a member; we look for none that is longer

/// Places of objects, or of lists of them, that we look into.
constexpr std::array<std::string_view, 17> kObjects = {"",
                                                       "/node",
                                                       "/node/cpu",
                                                       "/node/memory",
                                                       "/node/fs",
                                                       "/node/runtime",
                                                       "/node/runtime/imageFs",
                                                       "/node/runtime/containerFs",
                                                       "/pods",
                                                       "/pods/podRef",
                                                       "/pods/cpu",
                                                       "/pods/memory",
                                                       "/pods/containers",
                                                       "/pods/containers/cpu",
                                                       "/pods/containers/memory",
                                                       "/pods/volume",
                                                       "/pods/volume/pvcRef"};

ProbeError bad_summary(const std::string& why) {
  return {Reason::protocol, "the kubelet's summary: " + why};
}

/// Receives the parser's events. Of the place in the document it knows the names of the members
/// that lead there ("/pods/containers/memory"), arrays not counted: elements of "/pods" and so on
/// are added when they begin, so a longer path always finds the last of them.
class Handler {
 public:
  // What basic_parser asks for.
  static constexpr std::size_t max_object_size = kMostBytes;  // NOLINT(*-identifier-naming)
  static constexpr std::size_t max_array_size = kMostBytes;   // NOLINT(*-identifier-naming)
  static constexpr std::size_t max_key_size = kMostBytes;     // NOLINT(*-identifier-naming)
  static constexpr std::size_t max_string_size = kMostBytes;  // NOLINT(*-identifier-naming)

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }

  bool on_object_begin(error_code&) {
    begin("an object");
    objects_.push_back(path_.size());
    if (path_ == "/pods") {
      count();
      summary.pods.emplace_back();
    } else if (path_ == "/pods/containers") {
      count();
      pod().containers.emplace_back();
    } else if (path_ == "/pods/volume") {
      count();
      pod().volumes.emplace_back();
    }
    return true;
  }

  bool on_object_end(std::size_t, error_code&) {
    path_.resize(objects_.back());
    objects_.pop_back();
    return true;
  }

  bool on_key_part(json::string_view part, std::size_t, error_code&) {
    return append(part, kMostName);
  }

  bool on_key(json::string_view part, std::size_t size, error_code&) {
    append(part, kMostName);
    path_.resize(objects_.back());
    path_ += '/';
    // A name that looks like a path must not become one.
    path_ += size <= kMostName && !text_.contains('/') ? text_ : "?";
    text_.clear();
    return true;
  }

  bool on_string_part(json::string_view part, std::size_t, error_code&) {
    return append(part, kMostBytes);
  }

  bool on_string(json::string_view part, std::size_t, error_code&) {
    append(part, kMostBytes);
    const Target place = target();
    if (auto* const* const text = std::get_if<std::string*>(&place)) {
      **text = text_;
    } else {
      refuse("a string", place);
    }
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
    refuse("true or false", target());
    return true;
  }

  bool on_array_begin(error_code&) {
    begin("a list");
    return true;
  }

  bool on_array_end(std::size_t, error_code&) { return true; }
  bool on_number_part(json::string_view, error_code&) { return true; }
  bool on_null(error_code&) { return true; }  // as if it were not there
  bool on_comment_part(json::string_view, error_code&) { return true; }
  bool on_comment(json::string_view, error_code&) { return true; }

  KubeletSummary summary;

 private:
  /// A place for a string or a number; or for nothing that we look at.
  using Target = std::variant<std::monostate, std::string*, std::optional<double>*>;

  PodSummary& pod() { return summary.pods.back(); }
  ContainerSummary& container() { return pod().containers.back(); }
  VolumeSummary& volume() { return pod().volumes.back(); }

  void count() {
    if (++count_ > kMostObjects) throw bad_summary("too many pods, containers or volumes");
  }

  bool append(json::string_view part, std::size_t most) {
    text_.append(part.data(), std::min(part.size(), most - std::min(most, text_.size())));
    return true;
  }

  /// Throws for a value that is not what its place holds. Members that we do not know may be
  /// anything.
  void refuse(std::string_view value, const Target& place) const {
    const char* expected = nullptr;
    if (std::holds_alternative<std::string*>(place)) expected = "a string";
    if (std::holds_alternative<std::optional<double>*>(place)) expected = "a number";
    if (std::ranges::find(kObjects, path_) != kObjects.end()) expected = "an object";
    if (expected == nullptr) return;
    throw bad_summary((path_.empty() ? "the document" : path_.substr(1)) + " is " +
                      std::string(value) + ", not " + expected);
  }

  void begin(std::string_view value) {
    const Target place = target();
    if (place != Target()) refuse(value, place);
  }

  bool number(double value) {
    const Target place = target();
    if (auto* const* const number = std::get_if<std::optional<double>*>(&place)) {
      // The API's numbers are unsigned and of 64 bits.
      if (!(value >= 0 && value <= 0x1p64)) throw bad_summary(path_.substr(1) + " is out of range");
      **number = path_.ends_with("NanoSeconds") ? value / 1e9 : value;
    } else {
      refuse("a number", place);
    }
    return true;
  }

  /// Where the value that comes next belongs.
  Target target() {
    const std::size_t slash = path_.rfind('/');
    if (slash == std::string::npos) return {};
    const std::string_view object = std::string_view(path_).substr(0, slash);
    const std::string_view name = std::string_view(path_).substr(slash + 1);
    if (FsStats* const fs = fs_target(object)) {
      if (name == "availableBytes") return &fs->available_bytes;
      if (name == "capacityBytes") return &fs->capacity_bytes;
      if (name == "usedBytes") return &fs->used_bytes;
      if (name == "inodes") return &fs->inodes;
      if (name == "inodesFree") return &fs->inodes_free;
    }
    if (object.ends_with("/cpu")) {
      UsageStats* const usage = usage_target(object.substr(0, object.rfind('/')));
      if (usage && name == "usageCoreNanoSeconds") return &usage->cpu_seconds;
    }
    if (object.ends_with("/memory")) {
      UsageStats* const usage = usage_target(object.substr(0, object.rfind('/')));
      if (usage && name == "usageBytes") return &usage->memory_usage_bytes;
      if (usage && name == "workingSetBytes") return &usage->memory_working_set_bytes;
      if (usage && name == "availableBytes") return &usage->memory_available_bytes;
    }
    if (path_ == "/node/nodeName") return &summary.node;
    if (path_ == "/pods/podRef/name") return &pod().name;
    if (path_ == "/pods/podRef/namespace") return &pod().namespace_name;
    if (path_ == "/pods/containers/name") return &container().name;
    if (path_ == "/pods/volume/name") return &volume().name;
    if (path_ == "/pods/volume/pvcRef/name") return &volume().claim;
    if (path_ == "/pods/volume/pvcRef/namespace") return &volume().claim_namespace;
    return {};
  }

  FsStats* fs_target(std::string_view object) {
    if (object == "/node/fs") return &summary.fs;
    if (object == "/node/runtime/imageFs") return &summary.image_fs;
    if (object == "/node/runtime/containerFs") return &summary.container_fs;
    if (object == "/pods/volume") return &volume().fs;
    return nullptr;
  }

  UsageStats* usage_target(std::string_view object) {
    if (object == "/node") return &summary.usage;
    if (object == "/pods") return &pod().usage;
    if (object == "/pods/containers") return &container().usage;
    return nullptr;
  }

  std::string path_;
  std::vector<std::size_t> objects_;  // the path's size where each open object began
  std::string text_;                  // a key or string, as far as it has come
  std::size_t count_ = 0;
};

json::parse_options limits() {
  json::parse_options options;
  options.max_depth = kMostDepth;
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
  if (bytes.size() > kMostBytes - state_->size) throw bad_summary("more than 32 MiB");
  state_->write(true, bytes);
}

KubeletSummary SummaryReader::finish() {
  state_->write(false, {});
  KubeletSummary& summary = state_->parser.handler().summary;
  // An error of the API server would be JSON, too.
  if (summary.node.empty()) throw bad_summary("it names no node");
  return std::move(summary);
}

}  // namespace vitalsd::kubernetes
