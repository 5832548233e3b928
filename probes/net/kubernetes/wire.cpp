#include "probes/net/kubernetes/wire.hpp"

#include "exporter/model/text_format.hpp"
#include "probes/error.hpp"
#include "probes/net/kubernetes/message.hpp"

#include <algorithm>
#include <utility>

#include <boost/json.hpp>
#include <protozero/varint.hpp>

namespace vitalsd::net::kubernetes {
namespace {

namespace json = boost::json;

using namespace std::string_view_literals;

constexpr auto kMagic = "k8s\0"sv;
constexpr std::size_t kMaxMessage = 500;  // bytes of an error message
constexpr std::size_t kMaxJsonList = std::size_t{64} << 20;
constexpr std::size_t kMaxVarint = 10;
constexpr std::int64_t kMaxRetryAfter = 3600;  // seconds
constexpr auto kInitialEventsEnd = "k8s.io/initial-events-end"sv;

// Field numbers of the messages.
namespace unknown {
constexpr std::uint32_t kRaw = 2;
}
namespace list {
constexpr std::uint32_t kMetadata = 1;
constexpr std::uint32_t kItems = 2;
}  // namespace list
namespace list_meta {
constexpr std::uint32_t kResourceVersion = 2;
constexpr std::uint32_t kContinue = 3;
}  // namespace list_meta
namespace watch_event {
constexpr std::uint32_t kType = 1;
constexpr std::uint32_t kObject = 2;
}  // namespace watch_event
namespace raw_extension {
constexpr std::uint32_t kRaw = 1;
}
namespace object {
constexpr std::uint32_t kMetadata = 1;
}
namespace object_meta {
constexpr std::uint32_t kResourceVersion = 6;
constexpr std::uint32_t kAnnotations = 12;
}  // namespace object_meta
namespace status {
constexpr std::uint32_t kMessage = 3;
constexpr std::uint32_t kReason = 4;
constexpr std::uint32_t kDetails = 5;
constexpr std::uint32_t kCode = 6;
}  // namespace status
namespace status_details {
constexpr std::uint32_t kRetryAfterSeconds = 5;
}

[[noreturn]] void malformed(const std::string& what) {
  throw ProbeError(Reason::protocol, "the API server's response is malformed: " + what);
}

// The message in the envelope (runtime.Unknown).
std::string_view unwrap(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) malformed("an object is not in Kubernetes' protobuf envelope");
  std::string_view raw;
  for_each_field(bytes.substr(kMagic.size()), [&](Field& field) {
    if (field.tag() == unknown::kRaw) raw = field.bytes();
  });
  return raw;
}

std::string printable_line(std::string_view text) {
  std::string out = printable_utf8(text.substr(0, kMaxMessage));
  std::ranges::replace_if(out, [](unsigned char c) { return c < ' '; }, ' ');
  while (out.ends_with(' ')) out.pop_back();
  if (text.size() > kMaxMessage) out += "…";
  return out;
}

std::optional<std::chrono::seconds> seconds(std::int64_t count) {
  if (count <= 0) return std::nullopt;
  return std::chrono::seconds(std::min<std::int64_t>(count, kMaxRetryAfter));
}

Status read_protobuf_status(std::string_view message) {
  Status out;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == status::kMessage) out.message = printable_line(field.bytes());
    if (field.tag() == status::kReason) out.reason = printable_line(field.bytes());
    if (field.tag() == status::kCode) out.code = static_cast<int>(field.integer());
    if (field.tag() == status::kDetails) {
      for_each_field(field.bytes(), [&](Field& detail) {
        if (detail.tag() == status_details::kRetryAfterSeconds) {
          out.retry_after = seconds(detail.integer());
        }
      });
    }
  });
  return out;
}

// ---- JSON ---------------------------------------------------------------------------------------

json::value parse_json(std::string_view text) {
  json::error_code error;
  json::value value = json::parse({text.data(), text.size()}, error);
  if (error) malformed("not valid JSON: " + error.message());
  return value;
}

const json::value* member(const json::value& value, std::string_view key) {
  const json::object* object = value.if_object();
  return object == nullptr ? nullptr : object->if_contains({key.data(), key.size()});
}

std::string text_of(const json::value* value) {
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? "" : std::string(*text);
}

std::string text_at(const json::value& value, std::string_view section, std::string_view key) {
  const json::value* inside = member(value, section);
  return inside == nullptr ? "" : text_of(member(*inside, key));
}

int number_of(const json::value* value) {
  json::error_code error;
  const int number = value == nullptr ? 0 : value->to_number<int>(error);
  return error ? 0 : number;
}

Status read_json_status(const json::value& value) {
  Status out;
  out.code = number_of(member(value, "code"));
  out.reason = printable_line(text_of(member(value, "reason")));
  out.message = printable_line(text_of(member(value, "message")));
  if (const json::value* details = member(value, "details")) {
    out.retry_after = seconds(number_of(member(*details, "retryAfterSeconds")));
  }
  return out;
}

// ---- events -------------------------------------------------------------------------------------

Event::Type type_of(std::string_view name) {
  if (name == "ADDED") return Event::Type::added;
  if (name == "MODIFIED") return Event::Type::modified;
  if (name == "DELETED") return Event::Type::deleted;
  if (name == "BOOKMARK") return Event::Type::bookmark;
  if (name == "ERROR") return Event::Type::error;
  malformed("unknown watch event " + printable_line(name));
}

void read_object_meta(std::string_view meta, Event& event) {
  for_each_field(meta, [&](Field& field) {
    if (field.tag() == object_meta::kResourceVersion) event.resource_version = field.bytes();
    if (field.tag() == object_meta::kAnnotations && event.type == Event::Type::bookmark) {
      read_map_entry(field.bytes(), [&](std::string_view key, std::string_view value) {
        if (key == kInitialEventsEnd && value == "true") event.initial_events_end = true;
      });
    }
  });
}

Event read_protobuf_event(std::string_view frame) {
  Event event;
  std::string_view type;
  std::string_view raw;
  for_each_field(frame, [&](Field& field) {
    if (field.tag() == watch_event::kType) type = field.bytes();
    if (field.tag() == watch_event::kObject) {
      for_each_field(field.bytes(), [&](Field& extension) {
        if (extension.tag() == raw_extension::kRaw) raw = extension.bytes();
      });
    }
  });
  event.type = type_of(type);
  const std::string_view message = unwrap(raw);
  if (event.type == Event::Type::error) {
    event.status = read_protobuf_status(message);
    return event;
  }
  event.object = message;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == object::kMetadata) read_object_meta(field.bytes(), event);
  });
  return event;
}

// `object` receives the text that Event::object refers to.
Event read_json_event(std::string_view line, std::string& object) {
  const json::value value = parse_json(line);
  Event event;
  event.type = type_of(text_of(member(value, "type")));
  const json::value* found = member(value, "object");
  if (found == nullptr) malformed("an event has no object");
  if (event.type == Event::Type::error) {
    event.status = read_json_status(*found);
    return event;
  }
  object = json::serialize(*found);
  event.object = object;
  event.resource_version = text_at(*found, "metadata", "resourceVersion");
  if (const json::value* meta = member(*found, "metadata")) {
    event.initial_events_end = text_at(*meta, "annotations", kInitialEventsEnd) == "true";
  }
  return event;
}

}  // namespace

Status read_status(int http_status, std::string_view body) {
  Status out;
  try {
    if (body.starts_with(kMagic)) {
      out = read_protobuf_status(unwrap(body));
    } else if (body.starts_with('{')) {
      out = read_json_status(parse_json(body));
    }
  } catch (const ProbeError&) {
    out = {};  // not a Status, for example the page of a proxy
  }
  if (out.message.empty()) out.message = printable_line(body);
  if (out.code == 0) out.code = http_status;
  return out;
}

// ---- lists --------------------------------------------------------------------------------------

ListReader::ListReader(Format format, OnObject on_object)
    : format_(format), on_object_(std::move(on_object)) {}

void ListReader::feed(std::string_view bytes) {
  buffer_ += bytes;
  if (format_ == Format::json) {
    if (buffer_.size() > kMaxJsonList) malformed("a list is larger than 64 MiB");
    return;
  }
  while (read_item()) {
  }
  buffer_.erase(0, at_);
  at_ = 0;
}

// Reads the next item of a protobuf list. Returns false if the item is not complete yet.
bool ListReader::read_item() {
  const std::string_view rest = std::string_view(buffer_).substr(at_);
  if (!magic_read_) {
    if (rest.size() < kMagic.size()) return false;
    if (!rest.starts_with(kMagic)) malformed("a list is not in Kubernetes' protobuf envelope");
    at_ += kMagic.size();
    magic_read_ = true;
    return true;
  }
  if (skip_ > 0) {
    const std::uint64_t available = std::min<std::uint64_t>(skip_, rest.size());
    skip_ -= available;
    at_ += available;
    return skip_ == 0;
  }
  if (inside_ && left_ == 0) {
    inside_ = false;
    list_read_ = true;
    return true;
  }
  // A key and a length: all fields of these messages are length-delimited.
  const char* next = rest.data();
  const char* const end = next + std::min(rest.size(), 2 * kMaxVarint);
  std::uint64_t key = 0;
  std::uint64_t size = 0;
  try {
    key = protozero::decode_varint(&next, end);
    constexpr std::uint64_t kWireType = 7;
    constexpr std::uint64_t kLengthDelimited = 2;
    if ((key & kWireType) != kLengthDelimited) malformed("a list has a field of the wrong type");
    size = protozero::decode_varint(&next, end);
  } catch (const protozero::end_of_buffer_exception&) {
    return false;
  } catch (const protozero::exception& error) {
    malformed(error.what());
  }
  const auto header = static_cast<std::size_t>(next - rest.data());
  const auto tag = static_cast<std::uint32_t>(key >> 3);
  if (inside_ && (header > left_ || size > left_ - header))
    malformed("a field of a list exceeds the list's length");
  const bool is_needed = inside_ && (tag == list::kMetadata || tag == list::kItems);
  if (is_needed) {
    if (size > kMaxObject) malformed("an object is larger than 8 MiB");
    if (rest.size() - header < size) return false;
    const std::string_view message = rest.substr(header, size);
    if (tag == list::kItems) {
      on_object_(message);
    } else {
      for_each_field(message, [&](Field& field) {
        if (field.tag() == list_meta::kResourceVersion) resource_version_ = field.bytes();
        if (field.tag() == list_meta::kContinue) continue_ = field.bytes();
      });
    }
    at_ += header + size;
    left_ -= header + size;
    return true;
  }
  at_ += header;
  if (inside_) {
    left_ -= header + size;
    skip_ = size;
  } else if (tag == unknown::kRaw && !list_read_) {
    inside_ = true;
    left_ = size;
  } else {
    skip_ = size;
  }
  return true;
}

void ListReader::finish() {
  if (format_ == Format::json) {
    read_json();
    return;
  }
  while (read_item()) {
  }
  if (!list_read_ || skip_ > 0 || at_ < buffer_.size()) malformed("a list is truncated");
}

void ListReader::read_json() {
  const json::value value = parse_json(buffer_);
  resource_version_ = text_at(value, "metadata", "resourceVersion");
  continue_ = text_at(value, "metadata", "continue");
  const json::value* items = member(value, "items");
  if (items == nullptr || !items->is_array()) malformed("a list has no items");
  for (const json::value& item : items->get_array()) on_object_(json::serialize(item));
}

// ---- watches ------------------------------------------------------------------------------------

WatchReader::WatchReader(Format format, OnEvent on_event)
    : format_(format), on_event_(std::move(on_event)) {}

void WatchReader::feed(std::string_view bytes) {
  // Most events arrive in one piece and need no copy.
  if (buffer_.empty()) {
    buffer_ = bytes.substr(read_events(bytes));
    return;
  }
  buffer_ += bytes;
  buffer_.erase(0, read_events(buffer_));
  if (buffer_.empty()) buffer_ = {};  // releases the memory of a large event
}

// Reads the complete events at the start. Returns their size in bytes.
std::size_t WatchReader::read_events(std::string_view bytes) {
  std::size_t at = 0;
  while (true) {
    const std::string_view rest = bytes.substr(at);
    if (format_ == Format::json) {
      const std::size_t end = rest.find('\n');
      if (std::min(end, rest.size()) > 2 * kMaxObject) malformed("an event is larger than 16 MiB");
      if (end == std::string_view::npos) return at;
      std::string object;
      if (end > 0) on_event_(read_json_event(rest.substr(0, end), object));
      at += end + 1;
      continue;
    }
    constexpr std::size_t kLength = 4;  // bytes, big-endian
    if (rest.size() < kLength) return at;
    std::size_t size = 0;
    for (std::size_t i = 0; i < kLength; ++i) {
      size = size << 8 | static_cast<unsigned char>(rest[i]);
    }
    if (size > kMaxObject) malformed("an event is larger than 8 MiB");
    if (rest.size() - kLength < size) return at;
    on_event_(read_protobuf_event(rest.substr(kLength, size)));
    at += kLength + size;
  }
}

}  // namespace vitalsd::net::kubernetes
