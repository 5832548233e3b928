// Reads protobuf messages field by field. Fields that the caller does not read are skipped.
// Malformed messages, and fields with an unexpected wire type, are errors. Pure.
#pragma once

#include "probes/error.hpp"

#include <cstdint>
#include <string_view>

#include <protozero/pbf_reader.hpp>

namespace vitalsd::net::kubernetes {

/// One field of a message; valid during the call that for_each_field() makes.
class Field {
 public:
  explicit Field(protozero::pbf_reader& reader) : reader_(reader) {}
  Field(const Field&) = delete;
  Field& operator=(const Field&) = delete;

  [[nodiscard]] std::uint32_t tag() const { return reader_.tag(); }

  /// Whether the field is a string or a message. Needed for a field number that has different types
  /// in different versions of the API.
  [[nodiscard]] bool has_bytes() const {
    return reader_.wire_type() == protozero::pbf_wire_type::length_delimited;
  }

  /// Returns a string or a message; valid as long as the whole message. Like all the functions
  /// below, throws ProbeError(protocol) for another type.
  std::string_view bytes() {
    expect(protozero::pbf_wire_type::length_delimited);
    const protozero::data_view view = reader_.get_view();
    return {view.data(), view.size()};
  }
  std::int64_t integer() {
    expect(protozero::pbf_wire_type::varint);
    return reader_.get_int64();
  }
  bool boolean() { return integer() != 0; }

  void skip_if_unread() {
    if (!read_) reader_.skip();
  }

 private:
  void expect(protozero::pbf_wire_type type) {
    if (reader_.wire_type() != type) {
      throw ProbeError(Reason::protocol, "a Kubernetes object is malformed: wrong wire type");
    }
    read_ = true;
  }

  protozero::pbf_reader& reader_;
  bool read_ = false;
};

/// Calls `read(Field&)` for each field of the message. Throws ProbeError(protocol).
template <class Read>
void for_each_field(std::string_view message, const Read& read) {
  try {
    protozero::pbf_reader reader(message.data(), message.size());
    while (reader.next()) {
      Field field(reader);
      read(field);
      field.skip_if_unread();
    }
  } catch (const protozero::exception& error) {
    throw ProbeError(Reason::protocol,
                     std::string("a Kubernetes object is malformed: ") + error.what());
  }
}

/// Reads one entry of a map<string, V>: calls `read(key, bytes of the value)`.
template <class Read>
void read_map_entry(std::string_view entry, const Read& read) {
  std::string_view key;
  std::string_view value;
  for_each_field(entry, [&](Field& field) {
    if (field.tag() == 1) key = field.bytes();
    if (field.tag() == 2) value = field.bytes();
  });
  read(key, value);
}

}  // namespace vitalsd::net::kubernetes
