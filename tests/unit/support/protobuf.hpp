// Builds objects of the Kubernetes API as Protobuf messages, field by field.
#pragma once

#include "probes/error.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <protozero/pbf_writer.hpp>

namespace vitalsd::test {

/// A message. Each call adds a field and returns the message, so that calls can be chained.
class Message {
 public:
  Message& text(std::uint32_t tag, std::string_view value) {
    protozero::pbf_writer(bytes_).add_string(tag, value.data(), value.size());
    return *this;
  }
  Message& number(std::uint32_t tag, std::int64_t value) {
    protozero::pbf_writer(bytes_).add_int64(tag, value);
    return *this;
  }
  Message& message(std::uint32_t tag, const Message& value) {
    protozero::pbf_writer(bytes_).add_message(tag, value.bytes_);
    return *this;
  }
  /// metav1.Time
  Message& time(std::uint32_t tag, std::int64_t seconds) {
    return message(tag, Message().number(1, seconds));
  }
  /// An entry of a map<string, Quantity>.
  Message& amount(std::uint32_t tag, std::string_view resource, std::string_view quantity) {
    return message(tag, Message().text(1, resource).message(2, Message().text(1, quantity)));
  }
  /// An entry of a map<string, bytes>.
  Message& entry(std::uint32_t tag, std::string_view key, std::string_view value) {
    return message(tag, Message().text(1, key).text(2, value));
  }

  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// metav1.ObjectMeta
inline Message metadata(std::string_view name, std::string_view namespace_name = "shop") {
  return Message()
      .text(1, name)
      .text(3, namespace_name)
      .text(5, "uid-1")
      .number(7, 4)
      .time(8, 1000);
}

/// Adds fields that vitalsd does not know, as a future version of Kubernetes may send them.
inline Message with_unknown_fields(Message message) {
  constexpr std::uint32_t kFuture = 900;
  return message.text(kFuture, "new").number(kFuture + 1, 7).message(kFuture + 2, Message());
}

/// Calls `read` with each truncation of `good`, and with changed bits in each byte. Expects that
/// `read` returns an object or throws ProbeError(protocol), and no other error. The sanitizers
/// detect invalid memory accesses.
template <class Read>
void expect_hostile_bytes_refused(const std::string& good, const Read& read) {
  const auto attempt = [&](const std::string& bytes) {
    try {
      read(bytes);
      return true;
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), Reason::protocol);
      return false;
    }
  };
  EXPECT_TRUE(attempt(good));
  EXPECT_TRUE(attempt(""));
  std::size_t refused = 0;
  for (std::size_t size = 1; size < good.size(); ++size) {
    refused += attempt(good.substr(0, size)) ? 0 : 1;
  }
  EXPECT_GT(refused, 0U);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char mask : {'\x01', '\x07', '\x80', '\xff'}) {
      std::string turned = good;
      turned[i] = static_cast<char>(turned[i] ^ mask);
      attempt(turned);
    }
  }
  // A known field with the wrong wire type.
  EXPECT_FALSE(attempt(Message().number(1, 7).bytes()));
}

}  // namespace vitalsd::test
