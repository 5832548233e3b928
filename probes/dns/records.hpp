// The record types of kind `dns`: how their records are read from a response, and how records are
// compared. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/ip/address.hpp>

namespace vitalsd::dns {

struct RecordType {
  std::string_view name;
  int number;  ///< as in the protocol

  /// Appends the records of this type in a response to `out`, as text. Returns a c-ares status.
  int (*parse)(const unsigned char* response, int size, std::vector<std::string>& out);

  /// Returns the same text for two spellings of a record, such as names in different case.
  std::string (*canonical)(std::string_view record);
};

/// All types, sorted by name.
std::span<const RecordType> record_types();

/// `text` in lower case and without the trailing dot: a name, or numbers followed by a name ("10
/// mail.example").
std::string canonical_name(std::string_view text);

/// The name of the PTR record of an address (RFC 1035, 3.5, and RFC 3596).
std::string reverse_name(const boost::asio::ip::address& address);

}  // namespace vitalsd::dns
