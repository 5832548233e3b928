// Objects of the Kubernetes API as messages, made field by field.
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

/// A message; each call adds a field and gives the whole back.
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

/// With all that an object may come with and that we do not know: fields of the future.
inline Message with_unknown_fields(Message message) {
  constexpr std::uint32_t kFuture = 900;
  return message.text(kFuture, "new").number(kFuture + 1, 7).message(kFuture + 2, Message());
}

/// Whatever is cut off or turned, `read` gives an object or ProbeError(protocol), and no other
/// error: what it does with memory the sanitizers see.
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
  // A field of ours in another wire type than it has.
  EXPECT_FALSE(attempt(Message().number(1, 7).bytes()));
}

}  // namespace vitalsd::test
