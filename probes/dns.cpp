// Kind `dns`: a name server answers a question, as expected. By c-ares, over UDP with a retry over
// TCP for long answers, or over TCP alone.
#include "probes/net/ares_channel.hpp"
#include "probes/net/pending.hpp"
#include "probes/net/resolver.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include <ares.h>
#include <arpa/nameser.h>
#include <boost/asio/ip/address.hpp>
#include <netdb.h>

namespace vitalsd {
namespace {

constexpr Metric kSeconds({.name = "probe_dns_duration_seconds",
                           .unit = Unit::seconds,
                           .help = "Time from the question to the answer, retries included."});
constexpr Metric kAnswers({.name = "probe_dns_answer_rrs",
                           .help = "Records of the asked type in the answer."});

struct Answer {
  int status = ARES_SUCCESS;
  std::vector<std::string> records;
};

template <class Address, class Raw>
std::string address_text(const Raw& raw) {
  typename Address::bytes_type bytes;
  std::memcpy(bytes.data(), &raw, bytes.size());
  return Address(bytes).to_string();
}

using Parser = int (*)(const unsigned char* data, int size, std::vector<std::string>& out);

// Of a list that c-ares made: `text` of each element, then the list is freed.
template <class List, class Text>
int take(int status, List* list, std::vector<std::string>& out, const Text& text) {
  for (const List* at = list; status == ARES_SUCCESS && at != nullptr; at = at->next) {
    out.push_back(text(*at));
  }
  if (list != nullptr) ares_free_data(list);
  return status;
}

constexpr int kHeader = 12;  // bytes (RFC 1035, 4.1.1)

unsigned number_at(const unsigned char* at) { return at[0] * 256U + at[1]; }

// Room for as many addresses as an answer can have: it says how many, and none takes less than its
// record does, so that a short answer costs no more than it is worth.
template <class Entry>
std::vector<Entry> room_for(const unsigned char* data, int size) {
  constexpr int kShortestRecord = 15;
  const int fitting = size / kShortestRecord;
  const int announced = size < kHeader ? 0 : static_cast<int>(number_at(data + 6));
  return std::vector<Entry>(static_cast<std::size_t>(std::max(1, std::min(fitting, announced))));
}

int parse_a(const unsigned char* data, int size, std::vector<std::string>& out) {
  auto found = room_for<ares_addrttl>(data, size);
  int count = static_cast<int>(found.size());
  const int status = ares_parse_a_reply(data, size, nullptr, found.data(), &count);
  for (int i = 0; status == ARES_SUCCESS && i < count; ++i) {
    out.push_back(address_text<asio::ip::address_v4>(found[static_cast<std::size_t>(i)].ipaddr));
  }
  return status;
}

int parse_aaaa(const unsigned char* data, int size, std::vector<std::string>& out) {
  auto found = room_for<ares_addr6ttl>(data, size);
  int count = static_cast<int>(found.size());
  const int status = ares_parse_aaaa_reply(data, size, nullptr, found.data(), &count);
  for (int i = 0; status == ARES_SUCCESS && i < count; ++i) {
    out.push_back(address_text<asio::ip::address_v6>(found[static_cast<std::size_t>(i)].ip6addr));
  }
  return status;
}

int parse_mx(const unsigned char* data, int size, std::vector<std::string>& out) {
  ares_mx_reply* list = nullptr;
  return take(ares_parse_mx_reply(data, size, &list), list, out,
              [](const ares_mx_reply& mx) { return std::to_string(mx.priority) + ' ' + mx.host; });
}

int parse_srv(const unsigned char* data, int size, std::vector<std::string>& out) {
  ares_srv_reply* list = nullptr;
  return take(ares_parse_srv_reply(data, size, &list), list, out, [](const ares_srv_reply& srv) {
    return std::to_string(srv.priority) + ' ' + std::to_string(srv.weight) + ' ' +
           std::to_string(srv.port) + ' ' + srv.host;
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
  return take(ares_parse_caa_reply(data, size, &list), list, out, [](const ares_caa_reply& caa) {
    return std::to_string(caa.critical) + ' ' +
           std::string(reinterpret_cast<const char*>(caa.property), caa.plength) + " \"" +
           std::string(reinterpret_cast<const char*>(caa.value), caa.length) + '"';
  });
}

// Reads the answer itself, for types whose data is a name: c-ares follows aliases instead of
// telling them.
class NameReader {
 public:
  NameReader(const unsigned char* data, int size) : data_(data), size_(size) {}

  int read(unsigned type, std::vector<std::string>& out) {
    if (size_ < kHeader) return ARES_EBADRESP;
    constexpr int kQuestion = 4;  // bytes behind the name: type and class
    constexpr int kRecord = 10;   // and in front of the data: these, time to live, length
    at_ = kHeader;
    for (unsigned left = number_at(data_ + 4); left > 0; --left) {
      if (!skip_name() || !has(kQuestion)) return ARES_EBADRESP;
      at_ += kQuestion;
    }
    for (unsigned left = number_at(data_ + 6); left > 0; --left) {
      if (!skip_name() || !has(kRecord)) return ARES_EBADRESP;
      const bool wanted =
          number_at(data_ + at_) == type && number_at(data_ + at_ + 2) == unsigned{ns_c_in};
      const auto length = static_cast<int>(number_at(data_ + at_ + 8));
      at_ += kRecord;
      if (!has(length)) return ARES_EBADRESP;
      const int end = at_ + length;
      if (wanted && (!take_name(out.emplace_back()) || at_ > end)) return ARES_EBADRESP;
      at_ = end;
    }
    return ARES_SUCCESS;
  }

 private:
  [[nodiscard]] bool has(int bytes) const { return size_ - at_ >= bytes; }
  bool skip_name() {
    std::string ignored;
    return take_name(ignored);
  }
  bool take_name(std::string& out) {
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

// What a record says, whichever way it is written: equal for records that mean the same. Records
// and what is configured are compared by it.
using Meaning = std::string (*)(std::string_view);

std::string same(std::string_view text) { return std::string(text); }

std::string meaning_of_address(std::string_view text) {
  boost::system::error_code not_an_address;
  const auto address = asio::ip::make_address(text, not_an_address);
  return not_an_address ? std::string(text) : address.to_string();
}

std::string in_lower_case(std::string_view text) {
  std::string out;
  for (const char c : text) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// Numbers and a name behind them, or a name alone.
std::string meaning_of_name(std::string_view text) {
  std::string out;
  for (const auto word : std::views::split(text, ' ')) {
    if (!word.empty()) out += (out.empty() ? "" : " ") + in_lower_case(std::string_view(word));
  }
  // An escaped dot is part of the name; the name of the root is a dot alone, or nothing at all.
  if (out.ends_with('.') && !out.ends_with("\\.")) out.pop_back();
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

// Flags, tag and value, which is a name with parameters (issue and issuewild) or any text, with
// quotes or without (RFC 8659).
std::string meaning_of_caa(std::string_view text) {
  const std::size_t tag = std::min(text.find(' '), text.size());
  const std::size_t space = text.find(' ', std::min(tag + 1, text.size()));
  if (space == std::string_view::npos) return in_lower_case(text);
  std::string out = in_lower_case(text.substr(0, space + 1));
  std::string_view value = text.substr(space + 1);
  if (value.size() >= 2 && value.starts_with('"') && value.ends_with('"')) {
    value = value.substr(1, value.size() - 2);
  }
  const bool names = out.substr(tag).starts_with(" issue");
  const std::size_t end = names ? std::min(value.find(';'), value.size()) : 0;
  if (names) out += meaning_of_name(value.substr(0, end));
  return out.append(value.substr(end));
}

struct RecordType {
  std::string_view name;
  int number;
  Parser parse;
  Meaning meaning;
};
constexpr int kCaa = 257;  // RFC 8659; not all headers know it
constexpr std::array kTypes = {
    RecordType{"A", ns_t_a, parse_a, meaning_of_address},
    RecordType{"AAAA", ns_t_aaaa, parse_aaaa, meaning_of_address},
    RecordType{"CAA", kCaa, parse_caa, meaning_of_caa},
    RecordType{"CNAME", ns_t_cname, parse_names<ns_t_cname>, meaning_of_name},
    RecordType{"MX", ns_t_mx, parse_mx, meaning_of_name},
    RecordType{"NS", ns_t_ns, parse_ns, meaning_of_name},
    RecordType{"PTR", ns_t_ptr, parse_names<ns_t_ptr>, meaning_of_name},
    RecordType{"SOA", ns_t_soa, parse_soa, meaning_of_name},
    RecordType{"SRV", ns_t_srv, parse_srv, meaning_of_name},
    RecordType{"TXT", ns_t_txt, parse_txt, same},
};

// The name under which a PTR record tells the name of an address (RFC 1035, 3.5, and RFC 3596).
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

// What the answer has to be, and the status of c-ares that tells it.
struct Expected {
  std::string_view name;
  int status;
};
constexpr std::array kExpected = {
    Expected{"records", ARES_SUCCESS},
    Expected{"nodata", ARES_ENODATA},
    Expected{"nxdomain", ARES_ENOTFOUND},
};

// What a failed query says of the server that was asked.
Reason reason_of(int status) {
  switch (status) {
    case ARES_ETIMEOUT:
      return Reason::timeout;
    case ARES_ECONNREFUSED:
      return Reason::connect;
    case ARES_EBADRESP:
    case ARES_EFORMERR:
      return Reason::protocol;
    case ARES_ENOMEM:
      return Reason::internal;
    default:
      return Reason::mismatch;  // an answer: no such name, no such record, refused, failed
  }
}

class DnsProbe final : public Probe {
 public:
  DnsProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        query_(
            options.required<std::string>("query", "the name to ask for; for PTR also an address")),
        server_(
            options.find<config::Endpoint>("server", "host:port; without it those of resolv.conf")),
        tcp_(options.choice("protocol", {"udp", "tcp"}, "of the question") == "tcp"),
        expected_(options.list<std::string>(
            "answers", "records that must be in the answer; compared by letter only for TXT")) {
    std::vector<std::string_view> names;
    for (const RecordType& type : kTypes) names.push_back(type.name);
    const std::string name = options.choice("type", names, "type of the records");
    type_ = std::ranges::find(kTypes, name, &RecordType::name);
    std::vector<std::string_view> expectations;
    for (const Expected& each : kExpected) expectations.push_back(each.name);
    const std::string expectation =
        options.choice("expect", expectations,
                       "records of the type; a name without them; or that there is no such name");
    status_ = std::ranges::find(kExpected, expectation, &Expected::name)->status;
    if (status_ != ARES_SUCCESS && options.has("answers")) {
      options.error("answers", "goes with expect: records");
    }
    if (options.has("query") && query_.empty()) options.error("query", "is empty");
    const std::string lowered = meaning_of_name(query_);
    if (lowered == "onion" || lowered.ends_with(".onion")) {
      // c-ares says itself that there is no such name (RFC 7686), and the server is not judged.
      options.error("query", "names under onion are asked of no server");
    }
    name_ = query_;
    boost::system::error_code not_an_address;
    const auto address = asio::ip::make_address(query_, not_an_address);
    if (type_->number == ns_t_ptr && !not_an_address) name_ = reverse_name(address);
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    const auto start = std::chrono::steady_clock::now();
    const std::shared_ptr<net::AresChannel> channel = co_await open(out);
    out.doing("waiting for an answer about " + query_);
    const Answer answer = co_await ask(channel);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const bool there = answer.status == ARES_SUCCESS;
    if (!there && answer.status != status_) {
      throw ProbeError(reason_of(answer.status), query_ + ": " + net::ares_text(answer.status));
    }
    out.add(kSeconds, took.count());
    out.add(kAnswers, static_cast<double>(answer.records.size()));
    std::string got;
    for (const std::string& record : answer.records) got += (got.empty() ? "" : ", ") + record;
    if (there && status_ != ARES_SUCCESS) {
      out.fail(Reason::mismatch, query_ + " has " + config::quoted(got) + ", expected " +
                                     (status_ == ARES_ENODATA ? "no such record" : "no such name"));
    }
    for (const std::string& wanted : expected_) {
      const std::string meant = type_->meaning(wanted);
      const auto says_so = [&](const std::string& record) {
        return type_->meaning(record) == meant;
      };
      if (std::ranges::any_of(answer.records, says_so)) continue;
      out.fail(Reason::mismatch,
               "no " + config::quoted(wanted) + " in the answer, which has " + config::quoted(got));
    }
  }

  [[nodiscard]] std::string target() const override {
    return query_ + ' ' + std::string(type_->name) + (server_ ? " at " + server_->text() : "");
  }
  [[nodiscard]] std::string endpoint() const override { return server_ ? server_->text() : ""; }

 private:
  asio::awaitable<std::shared_ptr<net::AresChannel>> open(SampleSet& out) {
    net::AresChannel::Options options;
    options.tcp = tcp_;
    if (server_) {
      options.take_errors = true;  // it is this server that is judged
      out.doing("resolving " + server_->host);
      for (const auto& address : co_await environment_.resolver.resolve(server_->host)) {
        options.servers.push_back(config::Endpoint{address.to_string(), server_->port}.text());
      }
    }
    co_return std::make_shared<net::AresChannel>(environment_.loop, environment_.wheel, options);
  }

  // The channel ends the query when it goes, so the query's state outlives it.
  asio::awaitable<Answer> ask(std::shared_ptr<net::AresChannel> channel) {
    struct Query {
      std::shared_ptr<net::Pending<Answer>> pending;
      Parser parse;
    };
    const auto begin = [this, &channel](std::shared_ptr<net::Pending<Answer>> pending) {
      auto query = std::make_unique<Query>(Query{std::move(pending), type_->parse});
      const auto done = [](void* raw, int status, int /*timeouts*/, unsigned char* data, int size) {
        const std::unique_ptr<Query> asked(static_cast<Query*>(raw));
        Answer answer{status, {}};
        if (status == ARES_SUCCESS) answer.status = asked->parse(data, size, answer.records);
        // Some of c-ares's parsers take an answer for good that has an alias and nothing else.
        if (answer.status == ARES_SUCCESS && answer.records.empty()) answer.status = ARES_ENODATA;
        asked->pending->succeed(std::move(answer));
      };
      ares_query(channel->handle(), name_.c_str(), ns_c_in, type_->number, done, query.release());
      channel->rearm();
    };
    co_return co_await net::Pending<Answer>::wait(begin);
  }

  const Environment& environment_;
  std::string query_;
  std::string name_;  // that is asked for
  std::optional<config::Endpoint> server_;
  bool tcp_;
  std::vector<std::string> expected_;
  const RecordType* type_ = kTypes.data();
  int status_ = ARES_SUCCESS;  // that is expected
};

constexpr auto kMetrics = metric_list(kSeconds, kAnswers);

}  // namespace

namespace kinds {
extern const ProbeKind dns;
const ProbeKind dns = {
    .name = "dns",
    .help = "A name server answers a question.",
    .make = make_probe<DnsProbe>,
    .metrics = kMetrics,
};
}  // namespace kinds

}  // namespace vitalsd
