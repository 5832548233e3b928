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

struct RecordType {
  std::string_view name;
  int number;
  Parser parse;
};
constexpr std::array kTypes = {
    RecordType{"A", ns_t_a, parse_a},       RecordType{"AAAA", ns_t_aaaa, parse_aaaa},
    RecordType{"MX", ns_t_mx, parse_mx},    RecordType{"NS", ns_t_ns, parse_ns},
    RecordType{"SOA", ns_t_soa, parse_soa}, RecordType{"SRV", ns_t_srv, parse_srv},
    RecordType{"TXT", ns_t_txt, parse_txt},
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
        query_(options.required<std::string>("query", "the name to ask for")),
        server_(
            options.find<config::Endpoint>("server", "host:port; without it those of resolv.conf")),
        tcp_(options.choice("protocol", {"udp", "tcp"}, "of the question") == "tcp"),
        expected_(options.list<std::string>("answers", "records that must be in the answer")) {
    std::vector<std::string_view> names;
    for (const RecordType& type : kTypes) names.push_back(type.name);
    const std::string name = options.choice("type", names, "type of the records");
    type_ = std::ranges::find(kTypes, name, &RecordType::name);
    if (options.has("query") && query_.empty()) options.error("query", "is empty");
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    const auto start = std::chrono::steady_clock::now();
    const std::shared_ptr<net::AresChannel> channel = co_await open(out);
    out.doing("waiting for an answer about " + query_);
    const Answer answer = co_await ask(channel);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (answer.status != ARES_SUCCESS) {
      throw ProbeError(reason_of(answer.status), query_ + ": " + net::ares_text(answer.status));
    }
    out.add(kSeconds, took.count());
    out.add(kAnswers, static_cast<double>(answer.records.size()));
    for (const std::string& wanted : expected_) {
      if (std::ranges::find(answer.records, wanted) != answer.records.end()) continue;
      std::string got;
      for (const std::string& record : answer.records) got += (got.empty() ? "" : ", ") + record;
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
      ares_query(channel->handle(), query_.c_str(), ns_c_in, type_->number, done, query.release());
      channel->rearm();
    };
    co_return co_await net::Pending<Answer>::wait(begin);
  }

  const Environment& environment_;
  std::string query_;
  std::optional<config::Endpoint> server_;
  bool tcp_;
  std::vector<std::string> expected_;
  const RecordType* type_ = kTypes.data();
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
