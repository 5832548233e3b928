#include "probes/dns/records.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <ranges>

#include <ares.h>
#include <arpa/nameser.h>
#include <boost/system/error_code.hpp>
#include <netdb.h>

namespace vitalsd::dns {

namespace asio = boost::asio;

namespace {

template <class Address, class Raw>
std::string address_text(const Raw& raw) {
  typename Address::bytes_type bytes;
  std::memcpy(bytes.data(), &raw, bytes.size());
  return Address(bytes).to_string();
}

// Appends `text(element)` for each element of a list that c-ares allocated, and frees the list.
template <class List, class Text>
int append_list(int status, List* list, std::vector<std::string>& out, const Text& text) {
  for (const List* at = list; status == ARES_SUCCESS && at != nullptr; at = at->next) {
    out.push_back(text(*at));
  }
  if (list != nullptr) ares_free_data(list);
  return status;
}

constexpr int kHeaderSize = 12;  // bytes (RFC 1035, 4.1.1)

unsigned number_at(const unsigned char* at) { return at[0] * 256U + at[1]; }

// The maximum number of addresses in a response of this size. The header announces a count, but
// each address needs a whole record, so a short response cannot cause a large allocation.
template <class Entry>
std::vector<Entry> allocate_for(const unsigned char* data, int size) {
  constexpr int kShortestRecord = 15;  // bytes, with an IPv4 address
  const int possible = size / kShortestRecord;
  const int announced = size < kHeaderSize ? 0 : static_cast<int>(number_at(data + 6));
  return std::vector<Entry>(static_cast<std::size_t>(std::max(1, std::min(possible, announced))));
}

int parse_a(const unsigned char* data, int size, std::vector<std::string>& out) {
  auto found = allocate_for<ares_addrttl>(data, size);
  int count = static_cast<int>(found.size());
  const int status = ares_parse_a_reply(data, size, nullptr, found.data(), &count);
  for (int i = 0; status == ARES_SUCCESS && i < count; ++i) {
    out.push_back(address_text<asio::ip::address_v4>(found[static_cast<std::size_t>(i)].ipaddr));
  }
  return status;
}

int parse_aaaa(const unsigned char* data, int size, std::vector<std::string>& out) {
  auto found = allocate_for<ares_addr6ttl>(data, size);
  int count = static_cast<int>(found.size());
  const int status = ares_parse_aaaa_reply(data, size, nullptr, found.data(), &count);
  for (int i = 0; status == ARES_SUCCESS && i < count; ++i) {
    out.push_back(address_text<asio::ip::address_v6>(found[static_cast<std::size_t>(i)].ip6addr));
  }
  return status;
}

int parse_mx(const unsigned char* data, int size, std::vector<std::string>& out) {
  ares_mx_reply* list = nullptr;
  return append_list(
      ares_parse_mx_reply(data, size, &list), list, out,
      [](const ares_mx_reply& mx) { return std::to_string(mx.priority) + ' ' + mx.host; });
}

int parse_srv(const unsigned char* data, int size, std::vector<std::string>& out) {
  ares_srv_reply* list = nullptr;
  return append_list(ares_parse_srv_reply(data, size, &list), list, out,
                     [](const ares_srv_reply& srv) {
                       return std::to_string(srv.priority) + ' ' + std::to_string(srv.weight) +
                              ' ' + std::to_string(srv.port) + ' ' + srv.host;
                     });
}

int parse_txt(const unsigned char* data, int size, std::vector<std::string>& out) {
  ares_txt_ext* list = nullptr;
  const int status = ares_parse_txt_reply_ext(data, size, &list);
  for (const ares_txt_ext* at = list; status == ARES_SUCCESS && at != nullptr; at = at->next) {
    if (at->record_start != 0 || out.empty()) out.emplace_back();
    out.back().append(reinterpret_cast<const char*>(at->txt), at->length);
  }
  if (list != nullptr) ares_free_data(list);
  return status;
}

int parse_ns(const unsigned char* data, int size, std::vector<std::string>& out) {
  hostent* host = nullptr;
  const int status = ares_parse_ns_reply(data, size, &host);
  for (int i = 0; status == ARES_SUCCESS && host->h_aliases[i] != nullptr; ++i) {
    out.emplace_back(host->h_aliases[i]);
  }
  if (host != nullptr) ares_free_hostent(host);
  return status;
}

int parse_soa(const unsigned char* data, int size, std::vector<std::string>& out) {
  ares_soa_reply* soa = nullptr;
  const int status = ares_parse_soa_reply(data, size, &soa);
  if (status == ARES_SUCCESS) out.emplace_back(soa->nsname);
  if (soa != nullptr) ares_free_data(soa);
  return status;
}

int parse_caa(const unsigned char* data, int size, std::vector<std::string>& out) {
  ares_caa_reply* list = nullptr;
  return append_list(
      ares_parse_caa_reply(data, size, &list), list, out, [](const ares_caa_reply& caa) {
        return std::to_string(caa.critical) + ' ' +
               std::string(reinterpret_cast<const char*>(caa.property), caa.plength) + " \"" +
               std::string(reinterpret_cast<const char*>(caa.value), caa.length) + '"';
      });
}

// Parses the response without c-ares, for types whose data is a name: c-ares follows aliases and
// does not return them.
class NameReader {
 public:
  NameReader(const unsigned char* data, int size) : data_(data), size_(size) {}

  int read(unsigned type, std::vector<std::string>& out) {
    if (size_ < kHeaderSize) return ARES_EBADRESP;
    constexpr int kQuestionSize = 4;  // bytes after the name: type and class
    constexpr int kRecordSize = 10;   // bytes after the name: type, class, TTL, data length
    at_ = kHeaderSize;
    for (unsigned left = number_at(data_ + 4); left > 0; --left) {
      if (!skip_name() || !has(kQuestionSize)) return ARES_EBADRESP;
      at_ += kQuestionSize;
    }
    for (unsigned left = number_at(data_ + 6); left > 0; --left) {
      if (!skip_name() || !has(kRecordSize)) return ARES_EBADRESP;
      const bool matches =
          number_at(data_ + at_) == type && number_at(data_ + at_ + 2) == unsigned{ns_c_in};
      const auto length = static_cast<int>(number_at(data_ + at_ + 8));
      at_ += kRecordSize;
      if (!has(length)) return ARES_EBADRESP;
      const int end = at_ + length;
      if (matches && (!read_name(out.emplace_back()) || at_ > end)) return ARES_EBADRESP;
      at_ = end;
    }
    return ARES_SUCCESS;
  }

 private:
  [[nodiscard]] bool has(int bytes) const { return size_ - at_ >= bytes; }
  bool skip_name() {
    std::string ignored;
    return read_name(ignored);
  }
  bool read_name(std::string& out) {
    char* name = nullptr;
    long length = 0;
    if (!has(1) || ares_expand_name(data_ + at_, data_, size_, &name, &length) != ARES_SUCCESS) {
      return false;
    }
    out = name;
    ares_free_string(name);
    at_ += static_cast<int>(length);
    return true;
  }

  const unsigned char* data_;
  int size_;
  int at_ = 0;
};

template <unsigned Type>
int parse_names(const unsigned char* data, int size, std::vector<std::string>& out) {
  return NameReader(data, size).read(Type, out);
}

std::string to_lower(std::string_view text) {
  std::string out;
  for (const char c : text) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

}  // namespace

std::string canonical_name(std::string_view text) {
  std::string out;
  for (const auto word : std::views::split(text, ' ')) {
    if (!word.empty()) out += (out.empty() ? "" : " ") + to_lower(std::string_view(word));
  }
  // An escaped dot is part of the name. The root's name is a single dot or empty.
  if (out.ends_with('.') && !out.ends_with("\\.")) out.pop_back();
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

namespace {

std::string unchanged(std::string_view text) { return std::string(text); }

std::string canonical_address(std::string_view text) {
  boost::system::error_code not_an_address;
  const auto address = asio::ip::make_address(text, not_an_address);
  return not_an_address ? std::string(text) : address.to_string();
}

// Formats flags, tag and value (RFC 8659). The value is a name with parameters (issue, issuewild)
// or any text, with or without quotes.
std::string canonical_caa(std::string_view text) {
  const std::size_t tag = std::min(text.find(' '), text.size());
  const std::size_t space = text.find(' ', std::min(tag + 1, text.size()));
  if (space == std::string_view::npos) return to_lower(text);
  std::string out = to_lower(text.substr(0, space + 1));
  std::string_view value = text.substr(space + 1);
  if (value.size() >= 2 && value.starts_with('"') && value.ends_with('"')) {
    value = value.substr(1, value.size() - 2);
  }
  const bool is_name = out.substr(tag).starts_with(" issue");
  const std::size_t end = is_name ? std::min(value.find(';'), value.size()) : 0;
  if (is_name) out += canonical_name(value.substr(0, end));
  return out.append(value.substr(end));
}

constexpr int kCaa = 257;  // RFC 8659; not all versions of <arpa/nameser.h> define it
constexpr std::array kTypes = {
    RecordType{"A", ns_t_a, parse_a, canonical_address},
    RecordType{"AAAA", ns_t_aaaa, parse_aaaa, canonical_address},
    RecordType{"CAA", kCaa, parse_caa, canonical_caa},
    RecordType{"CNAME", ns_t_cname, parse_names<ns_t_cname>, canonical_name},
    RecordType{"MX", ns_t_mx, parse_mx, canonical_name},
    RecordType{"NS", ns_t_ns, parse_ns, canonical_name},
    RecordType{"PTR", ns_t_ptr, parse_names<ns_t_ptr>, canonical_name},
    RecordType{"SOA", ns_t_soa, parse_soa, canonical_name},
    RecordType{"SRV", ns_t_srv, parse_srv, canonical_name},
    RecordType{"TXT", ns_t_txt, parse_txt, unchanged},
};

}  // namespace

std::span<const RecordType> record_types() { return kTypes; }

std::string reverse_name(const asio::ip::address& address) {
  std::string out;
  if (address.is_v4()) {
    for (const unsigned char byte : std::views::reverse(address.to_v4().to_bytes())) {
      out += std::to_string(byte) + '.';
    }
    return out + "in-addr.arpa";
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const unsigned char byte : std::views::reverse(address.to_v6().to_bytes())) {
    out += {kHex[byte & 15U], '.', kHex[byte >> 4U], '.'};
  }
  return out + "ip6.arpa";
}

}  // namespace vitalsd::dns
