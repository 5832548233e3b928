// Decodes the API server's responses as they arrive: lists into objects, watches into events,
// errors into a Status. Built-in resources use protobuf. Custom resources use JSON, because the API
// server does not offer protobuf for them. The input is untrusted: all sizes are bounded, and
// malformed input is a ProbeError. Pure.
//
// The format is documented in https://kubernetes.io/docs/reference/using-api/api-concepts/
// (#protobuf-encoding, #efficient-detection-of-changes). Field numbers are from
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

/// The maximum size of an object in bytes. Real objects are smaller: etcd rejects 1.5 MiB.
constexpr std::size_t kMaxObject = std::size_t{8} << 20;

/// The reason for an error response of the API server (metav1.Status).
struct Status {
  int code = 0;         ///< 403
  std::string reason;   ///< "Forbidden"
  std::string message;  ///< text of the server, one line, bounded
  std::optional<std::chrono::seconds> retry_after;
};

/// The Status in the body of a response other than 2xx, in protobuf or JSON. If the body is not a
/// Status (but for example the page of a proxy), its beginning becomes the message.
Status read_status(int http_status, std::string_view body);

/// Decodes a list. Objects are protobuf messages without an envelope, or JSON. They are valid
/// during the call.
class ListReader {
 public:
  using OnObject = std::function<void(std::string_view object)>;
  ListReader(Format format, OnObject on_object);

  /// Throws ProbeError(protocol) if the list is malformed, and what `on_object` throws.
  void feed(std::string_view bytes);
  /// Call after the last byte. Throws ProbeError(protocol) if the list is truncated.
  void finish();

  [[nodiscard]] const std::string& resource_version() const { return resource_version_; }
  /// Identifies the next page; empty after the last page.
  [[nodiscard]] const std::string& continue_token() const { return continue_; }

 private:
  bool read_item();
  void read_json();

  Format format_;
  OnObject on_object_;
  std::string buffer_;
  std::size_t at_ = 0;      // offset of the first unread byte in buffer_
  std::uint64_t skip_ = 0;  // remaining bytes of a field that is skipped
  std::uint64_t left_ = 0;  // remaining bytes of the list's message, if inside_
  bool magic_read_ = false;
  bool inside_ = false;
  bool list_read_ = false;
  std::string resource_version_;
  std::string continue_;
};

struct Event {
  enum class Type : unsigned char { added, modified, deleted, bookmark, error };
  Type type = Type::error;
  std::string_view object;          ///< as in ListReader, valid during the call; empty for errors
  std::string resource_version;     ///< of the object
  bool initial_events_end = false;  ///< of a bookmark: the initial list of the watch is complete
  Status status{};                  ///< of an error
};

/// Decodes a watch.
class WatchReader {
 public:
  using OnEvent = std::function<void(const Event& event)>;
  WatchReader(Format format, OnEvent on_event);

  /// Throws ProbeError(protocol) if an event is malformed, and what `on_event` throws.
  void feed(std::string_view bytes);

 private:
  std::size_t read_events(std::string_view bytes);

  Format format_;
  OnEvent on_event_;
  std::string buffer_;  // an incomplete event
};

}  // namespace vitalsd::net::kubernetes
