// The API server's bytes, taken apart as they arrive: lists into objects, watches into events,
// errors into their Status. Protobuf for built-in resources, JSON for custom ones, which have
// nothing else. Foreign bytes: all sizes are bounded, all faults are a ProbeError. Pure.
//
// The format is that of https://kubernetes.io/docs/reference/using-api/api-concepts/
// (#protobuf-encoding, #efficient-detection-of-changes); field numbers are those of
// k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::net::kubernetes {

enum class Format : unsigned char { protobuf, json };

/// No object is larger: etcd refuses 1.5 MiB already.
constexpr std::size_t kMaxObject = std::size_t{8} << 20;

/// Why the API server refuses (metav1.Status).
struct Status {
  int code = 0;         ///< 403
  std::string reason;   ///< "Forbidden"
  std::string message;  ///< the server's own words, one line, bounded
  std::optional<std::chrono::seconds> retry_after;
};

/// The Status in the body of an answer other than 2xx, in whichever format it came; of a body that
/// is none (a proxy's page) the beginning is the message.
Status read_status(int http_status, std::string_view body);

/// Takes a list apart. Objects are messages (or JSON) without an envelope, valid during the call.
class ListReader {
 public:
  using OnObject = std::function<void(std::string_view object)>;
  ListReader(Format format, OnObject on_object);

  /// Throws ProbeError(protocol) for what is no list; lets through what `on_object` throws.
  void feed(std::string_view bytes);
  /// After the last byte: throws ProbeError(protocol) where the list is cut off.
  void finish();

  [[nodiscard]] const std::string& resource_version() const { return resource_version_; }
  /// Names the next page; empty: this was the last.
  [[nodiscard]] const std::string& continue_token() const { return continue_; }

 private:
  bool step();
  void read_json();

  Format format_;
  OnObject on_object_;
  std::string buffer_;
  std::size_t at_ = 0;      // what is before this is read
  std::uint64_t skip_ = 0;  // bytes of a field that interests nobody
  std::uint64_t left_ = 0;  // bytes of the list's message, once inside
  bool magic_read_ = false;
  bool inside_ = false;
  bool list_read_ = false;
  std::string resource_version_;
  std::string continue_;
};

struct Event {
  enum class Type : unsigned char { added, modified, deleted, bookmark, error };
  Type type = Type::error;
  std::string_view object;          ///< as ListReader's, valid during the call; errors have none
  std::string resource_version;     ///< the object's
  bool initial_events_end = false;  ///< of a bookmark: the list that the watch began with is whole
  Status status{};                  ///< of an error
};

/// Takes a watch apart.
class WatchReader {
 public:
  using OnEvent = std::function<void(const Event& event)>;
  WatchReader(Format format, OnEvent on_event);

  /// Throws ProbeError(protocol) for what is no event; lets through what `on_event` throws.
  void feed(std::string_view bytes);

 private:
  std::size_t take(std::string_view bytes);

  Format format_;
  OnEvent on_event_;
  std::string buffer_;  // the beginning of an event
};

}  // namespace vitalsd::net::kubernetes
