// Injects faults at each step of a login and a query.
#include "probes/error.hpp"
#include "probes/net/pg_connection.hpp"
#include "probes/services.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>

#include "unit/net/pg_server.hpp"
#include "unit/support/io_faults.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using namespace test::pg;
using test::Endings;
using test::Fault;
using test::TlsPhase;
using test::Wire;

class PgConnectionFaults : public testing::TestWithParam<std::tuple<Fault, Ssl>> {
 protected:
  PgConnectionFaults() {
    server_.ssl = std::get<Ssl>(GetParam());
    server_.tls = context_.get();
    server_.authenticate = &authenticate_by_scram;
    options_.database = "app";
    options_.user = "monitor";
    options_.password = config::Secret::literal(std::string(kPassword));
    switch (server_.ssl) {
      case Ssl::not_requested:
        options_.sslmode = "disable";
        break;
      case Ssl::refused:
        options_.sslmode = "prefer";
        break;
      case Ssl::accepted:
        options_.sslmode = "require";
        break;
    }
  }

  asio::awaitable<std::string> converse(std::uint16_t port, SampleSet& out) {
    options_.endpoint = {"127.0.0.1", port};
    return query(services_.environment, options_, out);
  }

  // The allowed reasons for a fault.
  static Endings endings(Fault fault, TlsPhase phase) {
    if (fault == Fault::refuse) return {Reason::connect};
    if (phase == TlsPhase::begins) return {Reason::tls};
    // libpq distinguishes FIN from RST, but not always from a malformed response.
    Endings endings = {Reason::connect, Reason::protocol};
    if (phase != TlsPhase::none) endings.insert(Reason::tls);
    return endings;
  }

  test::ServerContext context_ = test::server_context(test::make_certificate("peer"));
  asio::io_context loop_{1};
  ProbeServices services_{loop_, {}};
  Server server_;
  test::Peer peer_{loop_, [this](Wire& wire) { return serve(wire, server_); }};
  PgOptions options_;
};

TEST_P(PgConnectionFaults, AreReportedAtEachStep) {
  const Fault fault = std::get<Fault>(GetParam());
  const bool with_tls = server_.ssl == Ssl::accepted;
  std::size_t stride = 1;
  if (fault == Fault::cut && server_.ssl != Ssl::not_requested) stride = with_tls ? 61 : 7;
  const auto conversation = [this](std::uint16_t port, SampleSet& out) {
    // An abandoned thread needs a moment to return.
    test::run_until(loop_, [this] { return services_.connecting.busy() == 0; });
    return converse(port, out);
  };
  const std::size_t steps = test::fail_each_step(peer_, fault, conversation, &endings, stride);
  RecordProperty("steps", static_cast<int>(steps));
  // One connection accepted, five messages read, twelve writes, and the TLS handshake.
  if (fault == Fault::cut) {
    EXPECT_GE(steps * stride, with_tls ? 1500U : 300U);
  } else if (fault != Fault::refuse) {
    EXPECT_GE(steps, with_tls ? 22U : 18U);
  }
}

std::string case_name(const testing::TestParamInfo<std::tuple<Fault, Ssl>>& info) {
  constexpr std::array<std::string_view, 3> kNames = {"plain", "tls_refused", "tls"};
  const auto ssl = static_cast<std::size_t>(std::get<Ssl>(info.param));
  return std::string(test::fault_name(std::get<Fault>(info.param))) + '_' +
         std::string(kNames.at(ssl));
}
INSTANTIATE_TEST_SUITE_P(All, PgConnectionFaults,
                         testing::Combine(testing::ValuesIn(test::kFaults),
                                          testing::Values(Ssl::not_requested, Ssl::refused,
                                                          Ssl::accepted)),
                         case_name);

}  // namespace
}  // namespace vitalsd::net
