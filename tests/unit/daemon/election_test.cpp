#include "daemon/election.hpp"

#include "daemon/log.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unit/support/conversation.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
namespace json = boost::json;

// An API server with one Lease. Checks resourceVersion as the real server does.
class Store {
 public:
  std::optional<json::object> spec;  // empty: the Lease does not exist
  std::int64_t version = 1;

  struct Write {
    std::string method;
    json::object spec;
    test::Clock::time_point at;
  };
  std::vector<Write> writes;  // accepted ones
  int reads = 0;
  std::function<void()> after_read = [] {};

  std::string answer(const test::HttpCall& call) {
    if (call.method == "GET") {
      ++reads;
      const std::string found = spec ? test::http_answer(200, text()) : status(404, "NotFound");
      after_read();
      return found;
    }
    const json::object lease = json::parse(call.body).as_object();
    EXPECT_EQ(lease.at("kind").as_string(), "Lease");
    const json::value* seen = lease.at("metadata").as_object().if_contains("resourceVersion");
    if (call.method == "POST" ? spec.has_value()
                              : seen == nullptr || seen->as_string() != std::to_string(version)) {
      return status(409, "Conflict");
    }
    put(lease.at("spec").as_object());
    writes.push_back({call.method, *spec, test::Clock::now()});
    return test::http_answer(call.method == "POST" ? 201 : 200, text());
  }

  // A write by another client.
  void put(json::object new_spec) {
    spec = std::move(new_spec);
    ++version;
  }

  [[nodiscard]] std::string holder() const {
    return spec ? std::string(spec->at("holderIdentity").as_string()) : "";
  }

  static std::string status(int code, const std::string& reason) {
    return test::http_answer(code, R"({"kind": "Status", "code": )" + std::to_string(code) +
                                       R"(, "reason": ")" + reason + "\"}");
  }

 private:
  [[nodiscard]] std::string text() const {
    return json::serialize(
        json::object{{"kind", "Lease"},
                     {"metadata", json::object{{"resourceVersion", std::to_string(version)}}},
                     {"spec", *spec}});
  }
};

json::object held_by(const std::string& holder, std::int64_t transitions = 0) {
  return {{"holderIdentity", holder},
          {"leaseDurationSeconds", 1},
          {"leaseTransitions", transitions},
          {"acquireTime", "2026-01-01T00:00:00.000000Z"}};
}

// A replica with its own connection to the API server.
class Candidate {
 public:
  Candidate(asio::io_context& loop, Store& store, const ElectionPace& pace)
      : loop_(loop),
        server_(loop, [this, &store](test::Line& line) { return serve(line, store); }),
        services_(loop, {}) {
    const std::string config =
        "current-context: c\n"
        "contexts: [{name: c, context: {cluster: c, user: u, namespace: watch}}]\n"
        "clusters: [{name: c, cluster: {server: 'http://" +
        server_.endpoint() +
        "'}}]\n"
        "users: [{name: u, user: {token: hunter22}}]\n";
    services_.kubernetes.set_access({directory_.file("kubeconfig", config), ""});
    election = std::make_unique<Election>(
        services_, config::ElectionSettings{"vitalsd", ""}, leadership,
        [this](bool leads) { changes.push_back(leads); }, pace);
  }
  ~Candidate() {
    stop();
    services_.wheel.stop();
    services_.wind_down();
  }
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;

  void stop() {
    test::on_loop(loop_, [this] { election.reset(); });
  }
  // The server does not respond to further requests.
  void cut_off() { is_cut_off_ = true; }

  Leadership leadership;
  std::vector<bool> changes;
  std::vector<std::string> calls;  // "GET /apis/..."
  std::unique_ptr<Election> election;
  std::optional<std::string> refusal;       // sent in place of a response
  std::chrono::milliseconds write_takes{};  // delay of responses to writes

 private:
  asio::awaitable<void> serve(test::Line& line, Store& store) {
    for (;;) {
      const test::HttpCall call = co_await test::read_http(line);
      calls.push_back(call.method + ' ' + call.target);
      if (is_cut_off_) co_await line.discard_input();
      const std::string answer = refusal ? *refusal : store.answer(call);
      if (call.method != "GET" && write_takes > 0ms) {
        asio::steady_timer timer(loop_, write_takes);
        co_await timer.async_wait(asio::use_awaitable);
      }
      co_await line.write(answer);
    }
  }

  asio::io_context& loop_;
  test::TempDirectory directory_;
  bool is_cut_off_ = false;
  test::Conversation server_;
  ProbeServices services_;
};

class ElectionTest : public testing::Test {
 protected:
  ElectionTest() { log::configure({config::LogLevel::error, config::LogFormat::logfmt}); }

  std::unique_ptr<Candidate> candidate(const ElectionPace& pace = {.duration = 1s,
                                                                   .period = 20ms}) {
    return std::make_unique<Candidate>(loop, store, pace);
  }
  template <class Condition>
  [[nodiscard]] bool until(const Condition& condition) {
    return test::run_until(loop, condition);
  }

  asio::io_context loop{1};
  Store store;
};

TEST_F(ElectionTest, CreatesAMissingLease) {
  const auto one = candidate();
  EXPECT_FALSE(one->leadership.leads());  // before the response
  ASSERT_TRUE(until([&] { return one->leadership.leads(); }));
  EXPECT_EQ(one->changes, std::vector<bool>{true});
  EXPECT_EQ(one->calls.at(0), "GET /apis/coordination.k8s.io/v1/namespaces/watch/leases/vitalsd");
  EXPECT_EQ(one->calls.at(1), "POST /apis/coordination.k8s.io/v1/namespaces/watch/leases");
  const json::object& spec = store.writes.at(0).spec;
  EXPECT_EQ(spec.at("leaseDurationSeconds"), 1);
  EXPECT_EQ(spec.at("leaseTransitions"), 0);
  EXPECT_NE(store.holder(), "");
}

TEST_F(ElectionTest, AcquiresAReleasedLeaseImmediately) {
  store.put(held_by("", 7));
  store.spec->at("leaseDurationSeconds") = 3600;
  const auto one = candidate();
  ASSERT_TRUE(until([&] { return one->leadership.leads(); }));
  EXPECT_EQ(store.reads, 1);
  EXPECT_EQ(store.writes.at(0).method, "PUT");
  EXPECT_EQ(store.spec->at("leaseTransitions"), 8);
  EXPECT_NE(store.spec->at("acquireTime").as_string(), "2026-01-01T00:00:00.000000Z");
}

TEST_F(ElectionTest, RenewsItsLease) {
  const auto one = candidate({.duration = 100ms, .period = 20ms});
  ASSERT_TRUE(until([&] { return one->leadership.leads(); }));
  const test::Clock::time_point first = store.writes.at(0).at;
  // It leads after the first lease has expired.
  EXPECT_TRUE(until([&] { return test::Clock::now() > first + 150ms && one->leadership.leads(); }));
  ASSERT_GE(store.writes.size(), 3U);
  const json::object& was = store.writes.front().spec;
  const json::object& is = store.writes.back().spec;
  EXPECT_EQ(is.at("holderIdentity"), was.at("holderIdentity"));
  EXPECT_EQ(is.at("leaseTransitions"), was.at("leaseTransitions"));
  EXPECT_EQ(is.at("acquireTime"), was.at("acquireTime"));
  EXPECT_NE(is.at("renewTime"), was.at("renewTime"));
}

// One replica leads as long as it renews the lease. The other takes over when it has seen no
// renewal for the whole duration. There are never two leaders.
TEST_F(ElectionTest, TakesOverAfterTheLeaseExpires) {
  const auto one = candidate();
  ASSERT_TRUE(until([&] { return one->leadership.leads(); }));
  const std::string first_holder = store.holder();
  const auto other = candidate();
  bool two_lead = false;
  const auto check = [&] {
    const bool other_leads = other->leadership.leads();
    two_lead = two_lead || (other_leads && one->leadership.leads());
    return other_leads;
  };
  ASSERT_TRUE(until([&] { return check() || store.writes.size() >= 6; }));
  one->cut_off();
  EXPECT_TRUE(until(check));
  EXPECT_FALSE(two_lead);
  std::size_t last = store.writes.size() - 1;
  while (store.writes[last].spec.at("holderIdentity").as_string() != first_holder) --last;
  EXPECT_GE(store.writes.at(last + 1).at - store.writes[last].at, 1s);
  EXPECT_TRUE(until([&] { return !one->changes.back(); }));  // the timer fires up to one slot later
  EXPECT_EQ(other->changes, std::vector<bool>{true});
  EXPECT_EQ(store.spec->at("leaseTransitions"), 1);
}

TEST_F(ElectionTest, StandsByIfItCannotRenewTheLease) {
  const auto one = candidate({.duration = 100ms, .period = 20ms, .timeout = 60ms});
  ASSERT_TRUE(until([&] { return one->leadership.leads(); }));
  one->cut_off();
  EXPECT_TRUE(until([&] { return !one->leadership.leads() && !one->changes.back(); }));
}

TEST_F(ElectionTest, LeadsAgainWhenTheServerRecovers) {
  const auto one = candidate({.duration = 100ms, .period = 20ms});
  ASSERT_TRUE(until([&] { return one->leadership.leads(); }));
  one->refusal = Store::status(500, "InternalError");
  ASSERT_TRUE(until([&] { return !one->changes.back(); }));
  EXPECT_FALSE(one->leadership.leads());
  one->refusal.reset();
  EXPECT_TRUE(until([&] { return one->leadership.leads(); }));
  EXPECT_EQ(one->changes.back(), true);
  EXPECT_EQ(store.spec->at("leaseTransitions"), 0);  // the holder did not change
}

// A slow response shortens the remaining lease.
TEST_F(ElectionTest, LeaseStartsAtTheRequestNotAtTheResponse) {
  const auto one = candidate({.duration = 100ms, .period = 5s});
  one->write_takes = 60ms;
  ASSERT_TRUE(until([&] { return store.writes.size() == 1; }));
  const test::Clock::time_point requested_before = store.writes.at(0).at;
  ASSERT_TRUE(until([&] { return test::Clock::now() >= requested_before + 100ms; }));
  EXPECT_FALSE(one->leadership.leads());
}

TEST_F(ElectionTest, IgnoresAResponseAfterTheLeaseHasExpired) {
  const auto one = candidate({.duration = 50ms, .period = 20ms});
  one->write_takes = 60ms;
  ASSERT_TRUE(until([&] {
    EXPECT_FALSE(one->leadership.leads());
    return store.writes.size() == 2;
  }));
  EXPECT_EQ(one->changes, std::vector<bool>{});
}

TEST_F(ElectionTest, StandsByWhenAnotherReplicaHoldsTheLease) {
  const auto one = candidate();
  ASSERT_TRUE(until([&] { return one->leadership.leads(); }));
  store.put(held_by("other", 1));
  EXPECT_TRUE(until([&] { return one->changes == std::vector<bool>{true, false}; }));
  EXPECT_FALSE(one->leadership.leads());
  EXPECT_EQ(store.holder(), "other");
}

// Neither duration may overflow the clock, which would make a held Lease look expired.
TEST_F(ElectionTest, DoesNotAcquireAHeldLeaseWithAnInvalidDuration) {
  for (const std::int64_t seconds : {std::int64_t{1'000'000'000'000}, std::int64_t{-1}}) {
    json::object lease = held_by("other");
    lease["leaseDurationSeconds"] = seconds;
    store.put(lease);
    const auto one = candidate();
    ASSERT_TRUE(until([&] { return one->calls.size() >= 3; }));
    EXPECT_EQ(store.holder(), "other") << seconds;
  }
}

TEST_F(ElectionTest, AcceptsAConflict) {
  store.put(held_by(""));
  store.after_read = [&] {
    if (store.reads == 1) store.put(held_by("other"));
  };
  const auto one = candidate();
  ASSERT_TRUE(until([&] { return one->calls.size() == 3; }));  // read, rejected write, read
  EXPECT_TRUE(one->calls[1].starts_with("PUT")) << one->calls[1];
  EXPECT_EQ(store.holder(), "other");
  EXPECT_TRUE(store.writes.empty());
  EXPECT_EQ(one->changes, std::vector<bool>{});
}

TEST_F(ElectionTest, ReleasesTheLease) {
  const auto one = candidate();
  ASSERT_TRUE(until([&] { return one->leadership.leads(); }));
  test::on_loop(loop, [&] { one->election->resign(); });
  EXPECT_FALSE(one->leadership.leads());  // immediately, before the server has confirmed
  ASSERT_TRUE(until([&] { return one->election->idle(); }));
  EXPECT_EQ(store.holder(), "");
  EXPECT_EQ(store.spec->at("leaseDurationSeconds"), 1);
  const std::size_t calls = one->calls.size();
  const auto other = candidate();
  EXPECT_TRUE(until([&] { return other->leadership.leads(); }));
  EXPECT_EQ(other->calls.size(), 2U);   // it does not wait for the lease to expire
  EXPECT_EQ(one->calls.size(), calls);  // and the first one does not try again
}

TEST_F(ElectionTest, ReleasesALeaseAcquiredWhileItResigns) {
  const auto one = candidate();
  one->write_takes = 30ms;
  ASSERT_TRUE(until([&] { return store.writes.size() == 1; }));  // the response is pending
  test::on_loop(loop, [&] { one->election->resign(); });
  ASSERT_TRUE(until([&] { return one->election->idle(); }));
  EXPECT_FALSE(one->leadership.leads());
  EXPECT_EQ(one->changes, std::vector<bool>{});
  EXPECT_EQ(store.holder(), "");
}

TEST_F(ElectionTest, ResigningKeepsTheLeaseOfAnotherReplica) {
  const auto one = candidate({.duration = 1s, .period = 5s});
  ASSERT_TRUE(until([&] { return one->leadership.leads() && one->election->idle(); }));
  store.put(held_by("other"));
  test::on_loop(loop, [&] { one->election->resign(); });
  ASSERT_TRUE(until([&] { return one->election->idle(); }));
  EXPECT_EQ(store.holder(), "other");
  EXPECT_EQ(store.writes.size(), 1U);
}

TEST_F(ElectionTest, ResigningWithoutTheLeaseSendsNothing) {
  store.put(held_by("other"));
  const auto one = candidate({.duration = 1s, .period = 5s});
  ASSERT_TRUE(until([&] { return store.reads == 1 && one->election->idle(); }));
  test::on_loop(loop, [&] { one->election->resign(); });
  EXPECT_TRUE(one->election->idle());
  EXPECT_EQ(one->calls.size(), 1U);
}

TEST_F(ElectionTest, RejectsAnInvalidLease) {
  for (const std::string& body : {"", "[]", "<html>", "7"}) {
    const auto one = candidate();
    one->refusal = test::http_answer(200, body);
    ASSERT_TRUE(until([&] { return one->calls.size() >= 2; }));
    for (const std::string& call : one->calls) EXPECT_TRUE(call.starts_with("GET")) << call;
    EXPECT_FALSE(one->leadership.leads());
  }
}

TEST_F(ElectionTest, DoesNotWriteIfReadingIsForbidden) {
  const auto one = candidate();
  one->refusal = Store::status(403, "Forbidden");
  ASSERT_TRUE(until([&] { return one->calls.size() >= 2; }));
  for (const std::string& call : one->calls) EXPECT_TRUE(call.starts_with("GET")) << call;
  one->refusal.reset();
  EXPECT_TRUE(until([&] { return one->leadership.leads(); }));
}

TEST_F(ElectionTest, RetriesAfterTheTimeoutOfAnAttempt) {
  const auto one = candidate({.duration = 1s, .period = 20ms, .timeout = 30ms});
  one->cut_off();
  EXPECT_TRUE(until([&] { return one->calls.size() >= 2; }));
  EXPECT_FALSE(one->leadership.leads());
}

TEST_F(ElectionTest, CanBeDestroyedDuringAnAttempt) {
  const auto one = candidate();
  one->cut_off();
  ASSERT_TRUE(until([&] { return !one->calls.empty(); }));
  one->stop();
  test::run_for(loop, 50ms);
  EXPECT_EQ(one->calls.size(), 1U);
  EXPECT_EQ(one->changes, std::vector<bool>{});
}

TEST_F(ElectionTest, LogsErrorsWithoutTheTokenAndControlCharacters) {
  log::configure({config::LogLevel::warn, config::LogFormat::logfmt});
  testing::internal::CaptureStderr();
  const auto one = candidate();
  one->refusal = test::http_answer(403, "no hunter22 \u202e" + std::string(5'000, 'x'));
  const bool has_retried = until([&] { return one->calls.size() > 2; });
  const std::string logged = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(has_retried);
  EXPECT_TRUE(logged.contains("returned 403: no *** \ufffdxxx")) << logged;
  EXPECT_LT(logged.size(), 1'000U) << logged;
}

}  // namespace
}  // namespace vitalsd
