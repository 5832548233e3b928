// Kind `dns`: a name server answers a query, and the response is as expected. Uses c-ares over UDP,
// with a retry over TCP for truncated responses, or over TCP only.
#include "probes/dns/records.hpp"
#include "probes/net/ares_channel.hpp"
#include "probes/net/options.hpp"
#include "probes/net/pending.hpp"
#include "probes/net/resolver.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ares.h>
#include <arpa/nameser.h>
#include <boost/asio/ip/address.hpp>

namespace vitalsd {
namespace {

using dns::RecordType;

constexpr Metric kSeconds({.name = "probe_dns_duration_seconds",
                           .unit = Unit::seconds,
                           .help = "Time from the query to the response, retries included."});
constexpr Metric kAnswers({.name = "probe_dns_answer_rrs",
                           .help = "Records of the queried type in the response."});

struct Response {
  int status = ARES_SUCCESS;  // c-ares
  std::vector<std::string> records;
};

// The expected kind of response, and its c-ares status.
struct Expectation {
  std::string_view name;
  int status;
};
constexpr std::array kExpectations = {
    Expectation{"records", ARES_SUCCESS},
    Expectation{"nodata", ARES_ENODATA},
    Expectation{"nxdomain", ARES_ENOTFOUND},
};

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
      return Reason::mismatch;  // the server responded: no such name, no such record, refused,
                                // failed
  }
}

const RecordType* read_type(config::Node& options) {
  std::vector<std::string_view> names;
  for (const RecordType& type : dns::record_types()) names.push_back(type.name);
  const std::string name = options.choice("type", names, "type of the records");
  return &*std::ranges::find(dns::record_types(), name, &RecordType::name);
}

int read_expected_status(config::Node& options) {
  std::vector<std::string_view> names;
  for (const Expectation& expectation : kExpectations) names.push_back(expectation.name);
  const std::string name = options.choice(
      "expect", names, "the name has records of the type, has none of the type, or does not exist");
  return std::ranges::find(kExpectations, name, &Expectation::name)->status;
}

class DnsProbe final : public Probe {
 public:
  DnsProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        query_(options.required<std::string>("query", "name to query; for PTR also an address")),
        server_(options.find<config::Endpoint>("server",
                                               "host:port; by default the servers of resolv.conf")),
        ip_(net::read_ip(options, "server", server_ ? server_->host : "")),
        tcp_(options.choice("protocol", {"udp", "tcp"}, "protocol of the query") == "tcp"),
        expected_(options.list<std::string>(
            "answers", "records that the response must contain; only TXT is case-sensitive")),
        type_(read_type(options)),
        expected_status_(read_expected_status(options)) {
    if (expected_status_ != ARES_SUCCESS && options.has("answers")) {
      options.error("answers", "requires expect: records");
    }
    if (options.has("ip") && !server_) options.error("ip", "requires server");
    if (options.has("query") && query_.empty()) options.error("query", "must not be empty");
    const std::string canonical = dns::canonical_name(query_);
    if (canonical == "onion" || canonical.ends_with(".onion")) {
      // c-ares answers these queries itself (RFC 7686), without asking a server.
      options.error("query", "names under onion are not sent to a server");
    }
    name_ = query_;
    boost::system::error_code not_an_address;
    const auto address = asio::ip::make_address(query_, not_an_address);
    if (type_->number == ns_t_ptr && !not_an_address) name_ = dns::reverse_name(address);
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    const auto start = std::chrono::steady_clock::now();
    const std::shared_ptr<net::AresChannel> channel = co_await open(out);
    out.doing("waiting for the records of " + query_);
    const Response response = co_await query(channel);
    const std::chrono::duration<double> duration = std::chrono::steady_clock::now() - start;
    const bool has_records = response.status == ARES_SUCCESS;
    if (!has_records && response.status != expected_status_) {
      throw ProbeError(reason_of(response.status), query_ + ": " + net::ares_text(response.status));
    }
    out.add(kSeconds, duration.count());
    out.add(kAnswers, static_cast<double>(response.records.size()));
    check(response.records, has_records, out);
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
      options.take_errors = true;  // an error from the server is the result of the run
      out.doing("resolving " + server_->host);
      for (const auto& address : co_await environment_.resolver.resolve(server_->host, ip_)) {
        options.servers.push_back(config::Endpoint{address.to_string(), server_->port}.text());
      }
    }
    co_return std::make_shared<net::AresChannel>(environment_.loop, environment_.wheel, options);
  }

  // The channel's destructor ends a pending query by calling `done`, possibly after this coroutine
  // is cancelled. `done` therefore owns the state of the query.
  asio::awaitable<Response> query(std::shared_ptr<net::AresChannel> channel) {
    struct Query {
      std::shared_ptr<net::Pending<Response>> pending;
      const RecordType* type;
    };
    const auto start = [this, &channel](std::shared_ptr<net::Pending<Response>> pending) {
      auto state = std::make_unique<Query>(Query{std::move(pending), type_});
      const auto done = [](void* raw, int status, int /*timeouts*/, unsigned char* data, int size) {
        const std::unique_ptr<Query> query(static_cast<Query*>(raw));
        Response response{status, {}};
        try {
          if (status == ARES_SUCCESS) {
            response.status = query->type->parse(data, size, response.records);
          }
        } catch (...) {  // cannot pass through c-ares
          query->pending->fail(std::current_exception());
          return;
        }
        // Some parsers of c-ares report success for a response that contains only an alias.
        if (response.status == ARES_SUCCESS && response.records.empty()) {
          response.status = ARES_ENODATA;
        }
        query->pending->succeed(std::move(response));
      };
      ares_query(channel->handle(), name_.c_str(), ns_c_in, type_->number, done, state.release());
      channel->rearm();
    };
    co_return co_await net::Pending<Response>::wait(start);
  }

  void check(const std::vector<std::string>& records, bool has_records, SampleSet& out) const {
    std::string found;
    for (const std::string& record : records) found += (found.empty() ? "" : ", ") + record;
    if (has_records && expected_status_ != ARES_SUCCESS) {
      out.fail(Reason::mismatch,
               query_ + " has " + config::quoted(found) + ", expected " +
                   (expected_status_ == ARES_ENODATA ? "no such record" : "no such name"));
    }
    for (const std::string& expected : expected_) {
      const std::string canonical = type_->canonical(expected);
      const auto matches = [&](const std::string& record) {
        return type_->canonical(record) == canonical;
      };
      if (std::ranges::any_of(records, matches)) continue;
      out.fail(Reason::mismatch,
               config::quoted(expected) + " is missing from the records " + config::quoted(found));
    }
  }

  const Environment& environment_;
  std::string query_;
  std::string name_;  // the name in the query; for an address, its reverse name
  std::optional<config::Endpoint> server_;
  net::IpVersion ip_;
  bool tcp_;
  std::vector<std::string> expected_;
  const RecordType* type_;
  int expected_status_;  // of c-ares
};

constexpr auto kMetrics = metric_list(kSeconds, kAnswers);

}  // namespace

namespace kinds {
extern const ProbeKind dns;
const ProbeKind dns = {
    .name = "dns",
    .help = "A name server answers a query.",
    .make = make_probe<DnsProbe>,
    .metrics = kMetrics,
};
}  // namespace kinds

}  // namespace vitalsd
