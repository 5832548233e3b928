#include "probes/net/kubernetes/wire.hpp"

#include "probes/error.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <protozero/pbf_writer.hpp>

namespace vitalsd::net::kubernetes {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string envelope(const std::string& raw) {
  std::string out(4, '\0');
  out.replace(0, 3, "k8s");
  protozero::pbf_writer unknown(out);
  unknown.add_message(1, std::string("\x0a\x02v1"));
  unknown.add_message(2, raw);
  return out;
}

std::string object(std::string_view name, std::string_view version) {
  std::string meta;
  protozero::pbf_writer fields(meta);
  fields.add_string(1, name.data(), name.size());
  fields.add_string(6, version.data(), version.size());
  std::string out;
  protozero::pbf_writer(out).add_message(1, meta);
  return out;
}

std::string list(const std::vector<std::string>& objects, std::string_view version,
                 std::string_view token) {
  std::string meta;
  protozero::pbf_writer fields(meta);
  fields.add_string(2, version.data(), version.size());
  fields.add_string(3, token.data(), token.size());
  std::string raw;
  protozero::pbf_writer writer(raw);
  writer.add_message(1, meta);
  writer.add_string(9, "a field of a future version");
  for (const std::string& object : objects) writer.add_message(2, object);
  return envelope(raw);
}

std::string status(int code, std::string_view message, int retry_after) {
  std::string details;
  protozero::pbf_writer(details).add_int32(5, retry_after);
  std::string out;
  protozero::pbf_writer fields(out);
  fields.add_string(2, "Failure");
  fields.add_string(3, message.data(), message.size());
  fields.add_string(4, "Expired");
  fields.add_message(5, details);
  fields.add_int32(6, code);
  return out;
}

std::string event(std::string_view type, const std::string& message) {
  std::string extension;
  protozero::pbf_writer(extension).add_message(1, envelope(message));
  std::string frame;
  protozero::pbf_writer fields(frame);
  fields.add_string(1, type.data(), type.size());
  fields.add_message(2, extension);
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += static_cast<char>(frame.size() >> shift & 0xff);
  }
  return out + frame;
}

struct DecodedList {
  std::vector<std::string> objects;
  std::string version;
  std::string token;
};

DecodedList read_in_pieces(Format format, std::string_view bytes, std::size_t piece) {
  DecodedList out;
  ListReader reader(format, [&](std::string_view object) { out.objects.emplace_back(object); });
  for (std::size_t at = 0; at < bytes.size(); at += piece) reader.feed(bytes.substr(at, piece));
  reader.finish();
  out.version = reader.resource_version();
  out.token = reader.continue_token();
  return out;
}

TEST(KubernetesList, IsReadInPiecesOfAnySize) {
  const std::string a = object("a", "5");
  const std::string b = object(std::string(300, 'b'), "6");
  const std::string bytes = list({a, b}, "7", "next");
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    const DecodedList read = read_in_pieces(Format::protobuf, bytes, piece);
    EXPECT_THAT(read.objects, ElementsAre(a, b));
    EXPECT_EQ(read.version, "7");
    EXPECT_EQ(read.token, "next");
  }
}

TEST(KubernetesList, MayBeEmpty) {
  EXPECT_TRUE(read_in_pieces(Format::protobuf, list({}, "7", ""), 3).objects.empty());
}

TEST(KubernetesList, TruncatedAtAnyByteIsAnError) {
  const std::string bytes = list({object("a", "5")}, "7", "");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(read_in_pieces(Format::protobuf, bytes.substr(0, size), 7), ProbeError) << size;
  }
}

TEST(KubernetesList, RejectsMalformedLists) {
  const auto error_of = [](std::string bytes) {
    try {
      read_in_pieces(Format::protobuf, bytes, 16);
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), Reason::protocol);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(error_of("{\"kind\":\"PodList\"}"), HasSubstr("envelope"));
  EXPECT_THAT(error_of(std::string("k8s\0\x08\x01", 6)), HasSubstr("wrong type"));
  // The length of an object is 9 MiB.
  EXPECT_THAT(error_of(std::string("k8s\0\x12\x80\x80\x80\x08\x12\x80\x80\xc0\x04", 14)),
              HasSubstr("larger than 8 MiB"));
  // The length of an item is greater than the length of its list.
  EXPECT_THAT(error_of(std::string("k8s\0\x12\x04\x12\x10zz", 10)),
              HasSubstr("exceeds the list's length"));
  EXPECT_THAT(error_of(std::string("k8s\0", 4) + std::string(24, '\xff')), HasSubstr("varint"));
}

TEST(KubernetesList, OfCustomResourcesIsJson) {
  const DecodedList read = read_in_pieces(
      Format::json,
      R"({"metadata":{"resourceVersion":"9","continue":"t"},"items":[{"a":1},{"b":[]}]})", 5);
  EXPECT_THAT(read.objects, ElementsAre(R"({"a":1})", R"({"b":[]})"));
  EXPECT_EQ(read.version, "9");
  EXPECT_EQ(read.token, "t");
  EXPECT_THROW(read_in_pieces(Format::json, R"({"items":[{})", 5), ProbeError);
  EXPECT_THROW(read_in_pieces(Format::json, R"({"items":7})", 5), ProbeError);
}

struct DecodedEvent {
  Event::Type type;
  std::string object;
  std::string version;
  bool end;
  Status status;
};

std::vector<DecodedEvent> events_in_pieces(Format format, std::string_view bytes,
                                           std::size_t piece) {
  std::vector<DecodedEvent> out;
  WatchReader reader(format, [&](const Event& event) {
    out.push_back({event.type, std::string(event.object), event.resource_version,
                   event.initial_events_end, event.status});
  });
  for (std::size_t at = 0; at < bytes.size(); at += piece) reader.feed(bytes.substr(at, piece));
  return out;
}

std::string bookmark(std::string_view version) {
  std::string entry;
  protozero::pbf_writer fields(entry);
  fields.add_string(1, "k8s.io/initial-events-end");
  fields.add_string(2, "true");
  std::string meta;
  protozero::pbf_writer writer(meta);
  writer.add_string(6, version.data(), version.size());
  writer.add_message(12, entry);
  std::string out;
  protozero::pbf_writer(out).add_message(1, meta);
  return out;
}

TEST(KubernetesWatch, IsReadInPiecesOfAnySize) {
  const std::string pod = object("a", "5");
  const std::string bytes = event("ADDED", pod) + event("DELETED", pod) +
                            event("BOOKMARK", bookmark("8")) +
                            event("ERROR", status(410, "old", 3));
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    const std::vector<DecodedEvent> events = events_in_pieces(Format::protobuf, bytes, piece);
    ASSERT_EQ(events.size(), 4U);
    EXPECT_EQ(events[0].type, Event::Type::added);
    EXPECT_EQ(events[0].object, pod);
    EXPECT_EQ(events[0].version, "5");
    EXPECT_FALSE(events[0].end);
    EXPECT_EQ(events[1].type, Event::Type::deleted);
    EXPECT_EQ(events[2].type, Event::Type::bookmark);
    EXPECT_EQ(events[2].version, "8");
    EXPECT_TRUE(events[2].end);
    EXPECT_EQ(events[3].type, Event::Type::error);
    EXPECT_EQ(events[3].status.code, 410);
    EXPECT_EQ(events[3].status.message, "old");
    EXPECT_EQ(events[3].status.retry_after, std::chrono::seconds(3));
  }
}

TEST(KubernetesWatch, RejectsMalformedEvents) {
  EXPECT_THROW(events_in_pieces(Format::protobuf, event("MOVED", object("a", "1")), 99),
               ProbeError);
  EXPECT_THROW(events_in_pieces(Format::protobuf, "\x7f\xff\xff\xff", 99), ProbeError);
  EXPECT_THROW(events_in_pieces(Format::protobuf, std::string("\0\0\0\2\x08\x01", 6), 99),
               ProbeError);
}

TEST(KubernetesWatch, OfCustomResourcesIsLinesOfJson) {
  const std::string bytes =
      R"({"type":"ADDED","object":{"metadata":{"resourceVersion":"5"}}})"
      "\n"
      R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"6","annotations":{"k8s.io/initial-events-end":"true"}}}})"
      "\n"
      R"({"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}})"
      "\n";
  for (const std::size_t piece : {1U, 7U, 1000U}) {
    const std::vector<DecodedEvent> events = events_in_pieces(Format::json, bytes, piece);
    ASSERT_EQ(events.size(), 3U);
    EXPECT_EQ(events[0].version, "5");
    EXPECT_EQ(events[0].object, R"({"metadata":{"resourceVersion":"5"}})");
    EXPECT_TRUE(events[1].end);
    EXPECT_EQ(events[2].status.reason, "Expired");
  }
  EXPECT_THROW(events_in_pieces(Format::json, "{\"type\":\"ADDED\"}\n", 99), ProbeError);
}

TEST(KubernetesStatus, IsReadFromAnyFormat) {
  const Status protobuf = read_status(403, envelope(status(403, "pods is forbidden", 0)));
  EXPECT_EQ(protobuf.message, "pods is forbidden");
  EXPECT_EQ(protobuf.retry_after, std::nullopt);
  const Status json = read_status(
      429, R"({"kind":"Status","code":429,"reason":"TooManyRequests","message":"slow down",)"
           R"("details":{"retryAfterSeconds":7}})");
  EXPECT_EQ(json.reason, "TooManyRequests");
  EXPECT_EQ(json.retry_after, std::chrono::seconds(7));
  const Status page = read_status(502, "<html>\nBad gateway" + std::string(9999, '.'));
  EXPECT_EQ(page.code, 502);
  EXPECT_THAT(page.message, HasSubstr("<html> Bad gateway"));
  EXPECT_LE(page.message.size(), 500 + std::string_view("…").size());
}

}  // namespace
}  // namespace vitalsd::net::kubernetes
