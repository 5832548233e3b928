#include "probes/net/cpu_time.hpp"
#include "probes/net/offload.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "unit/probes/http/http_fixture.hpp"
#include "unit/support/conversation.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/tls_server.hpp"
#include "unit/support/turns.hpp"
#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::http_answer;
using test::HttpTest;

TEST_F(HttpTest, PublishesTheResponse) {
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("probe_http_status_code"), 200);
  EXPECT_EQ(run.value("probe_http_redirects"), 0);
  EXPECT_EQ(run.value("probe_http_version"), 1.1);
  EXPECT_EQ(run.value("probe_http_uncompressed_body_length"), 5);
  EXPECT_EQ(run.value("probe_http_ssl"), 0);
  for (const std::string phase : {"resolve", "connect", "processing", "transfer"}) {
    EXPECT_GE(run.value("probe_http_duration_seconds", {{"phase", phase}}).value_or(-1), 0)
        << phase;
  }
  // Without TLS there is neither a handshake time nor an expiry.
  EXPECT_EQ(run.count("probe_http_duration_seconds"), 4U);
  EXPECT_EQ(run.count("probe_ssl_earliest_cert_expiry"), 0U);
  EXPECT_GT(run.reading("duration").value_or(0), 0);
}

TEST_F(HttpTest, PublishesAHistogramIfAsked) {
  EXPECT_FALSE(observe().text().contains("vitalsd_http_request_duration_seconds"));
  const std::string options = "url: " + quoted(url()) + ", histogram: true";
  const auto probe = fixture.make("http", options);
  const auto count = [](const test::Observation& run) {
    return run.value("vitalsd_http_request_duration_seconds_count");
  };
  EXPECT_EQ(count(fixture.observe(*probe)), 1);
  answer_always(http_answer(500, ""));  // a response too
  const test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(count(run), 2);
  EXPECT_EQ(run.value("vitalsd_http_request_duration_seconds_bucket", {{"le", "+Inf"}}), 2);
  EXPECT_EQ(run.count("vitalsd_http_request_duration_seconds_bucket"), 12U);
  const auto next = fixture.make("http", options + ", method: HEAD");
  next->inherit(*probe);
  EXPECT_EQ(count(fixture.observe(*next)), 3);
}

TEST_F(HttpTest, SendsTheConfiguredRequest) {
  const test::Observation run = observe(
      ", method: POST, headers: {X-Who: me, Accept: text/plain}, body: 'a=1'", "/path?query=1");
  EXPECT_EQ(run.failure(), "");
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].method, "POST");
  EXPECT_EQ(calls[0].target, "/path?query=1");
  EXPECT_EQ(calls[0].header("x-who"), "me");
  EXPECT_EQ(calls[0].header("accept"), "text/plain");
  EXPECT_EQ(calls[0].header("host"), peer.endpoint());
  EXPECT_EQ(calls[0].body, "a=1");
}

TEST_F(HttpTest, ConnectsToAnIpv6Literal) {
  if (!test::has_ipv6()) GTEST_SKIP() << "there is no ::1";
  const test::Conversation other(fixture.loop, script(), asio::ip::address_v6::loopback());
  const auto probe = fixture.make("http", "url: 'http://" + other.endpoint() + "/x'");
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(calls.at(0).header("host"), other.endpoint());
  EXPECT_EQ(probe->endpoint(), other.endpoint());
  EXPECT_EQ(probe->target(), "http://" + other.endpoint() + "/x");
}

TEST_F(HttpTest, HidesTheQuery) {
  const auto probe = fixture.make("http", "url: 'http://h/x?token=hush'");
  EXPECT_EQ(probe->target(), "http://h/x?…");
  EXPECT_EQ(probe->endpoint(), "h:80");
  EXPECT_EQ(fixture.make("http", "url: 'https://h'")->endpoint(), "h:443");
}

// ---- expected responses -------------------------------------------------------------------------

TEST_F(HttpTest, ExpectsStatus2xxByDefault) {
  answer_always(http_answer(503, "sorry"));
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "mismatch: status 503, expected 2xx");
  EXPECT_FALSE(run.threw());
  EXPECT_EQ(run.value("probe_http_status_code"), 503);
  EXPECT_EQ(run.value("probe_http_uncompressed_body_length"), 5);
}

TEST_F(HttpTest, ExpectsTheConfiguredStatus) {
  answer_always(http_answer(404, ""));
  EXPECT_EQ(observe(", expect: {status: 404}").failure(), "");
  EXPECT_EQ(observe(", expect: {status: [200, 4xx]}").failure(), "");
  EXPECT_EQ(observe(", expect: {status: [200, 5xx]}").failure(),
            "mismatch: status 404, expected 200 or 5xx");
}

TEST_F(HttpTest, ExpectsHeadersAndABody) {
  answer_always(http_answer(200, "all is well", "X-App: 1\r\n"));
  EXPECT_EQ(observe(", expect: {headers: [x-app], body: 'all.*well', not_body: error}").failure(),
            "");
  EXPECT_EQ(observe(", expect: {headers: [X-Other], body: '^well', not_body: is}").failure(),
            "mismatch: the header X-Other is missing; the body does not match '^well'; the body "
            "matches 'is'");
}

TEST_F(HttpTest, ExpectsSecurityHeaders) {
  const std::string expect = ", expect: {security_headers: true}";
  answer_always(http_answer(200, ""));
  // Strict-Transport-Security has no effect without TLS.
  EXPECT_EQ(observe(expect).failure(),
            "mismatch: the header X-Frame-Options is missing; the header X-Content-Type-Options is "
            "missing");
  for (const std::string good : {"X-Frame-Options: DENY", "x-frame-options: sameorigin",
                                 "Content-Security-Policy: default-src 'self'; "
                                 "frame-ancestors 'none'"}) {
    answer_always(http_answer(200, "", good + "\r\nX-Content-Type-Options: nosniff\r\n"));
    EXPECT_EQ(observe(expect).failure(), "") << good;
  }
  answer_always(http_answer(200, "",
                            "X-Frame-Options: ALLOWALL\r\nX-Content-Type-Options: none\r\n"
                            "Content-Security-Policy: default-src frame-ancestors\r\n"));
  EXPECT_EQ(observe(expect).failure(),
            "mismatch: the header X-Frame-Options is 'ALLOWALL', expected DENY or SAMEORIGIN; the "
            "header X-Content-Type-Options is 'none', expected nosniff");
  EXPECT_EQ(observe(", expect: {security_headers: false}").failure(), "");
}

TEST_F(HttpTest, ExpectsStrictTransportSecurityOverTls) {
  std::string policy;
  const test::TlsServer server(test::make_certificate("shop.test"), [&](test::TlsLine& line) {
    line.read();
    line.write(http_answer(
        200, "", policy + "X-Frame-Options: DENY\r\nX-Content-Type-Options: nosniff\r\n"));
  });
  const auto failure = [&](const std::string& value) {
    policy = value.empty() ? "" : "Strict-Transport-Security: " + value + "\r\n";
    return fixture
        .observe("http",
                 "tls: {verify: false}, expect: {security_headers: true}, url: "
                 "'https://127.0.0.1:" +
                     std::to_string(server.port()) + "/'")
        .failure();
  };
  EXPECT_EQ(failure("max-age=31536000; includeSubDomains"), "");
  EXPECT_EQ(failure("includeSubDomains; Max-Age=\"1\""), "");
  EXPECT_EQ(failure(""), "mismatch: the header Strict-Transport-Security is missing");
  for (const std::string bad : {"max-age=0", "includeSubDomains", "max-age=", "max-age=1d", ";"}) {
    EXPECT_TRUE(failure(bad).ends_with(", expected a max-age above 0")) << failure(bad);
  }
}

TEST_F(HttpTest, ExpectsJsonValues) {
  answer_always(http_answer(200, R"({"status": "ok", "n": 3, "on": true, "a": [{"b": null}]})"));
  EXPECT_EQ(
      observe(", expect: {json: {/status: ok, /n: '3', /on: 'true', /a/0/b: 'null'}}").failure(),
      "");
  const test::Observation run = observe(", expect: {json: {/status: bad, /missing: x}}");
  EXPECT_EQ(run.reason(), "mismatch");
  EXPECT_TRUE(run.failure().contains("/status")) << run.failure();
  EXPECT_TRUE(run.failure().contains("/missing")) << run.failure();
  EXPECT_FALSE(run.threw());
}

TEST_F(HttpTest, ComparesJsonNumbersByValue) {
  answer_always(
      http_answer(200, R"({"a": 1764382386.1234567, "b": 0.30000000000000004, "c": 5.0})"));
  EXPECT_EQ(
      observe(", expect: {json: {/a: '1764382386.1234567', /b: '0.30000000000000004', /c: '5'}}")
          .failure(),
      "");
  EXPECT_EQ(observe(", expect: {json: {/a: '1764382386.12346'}}").reason(), "mismatch");
  EXPECT_EQ(observe(", expect: {json: {/c: '5.00000000001'}}").reason(), "mismatch");
  answer_always(http_answer(200, "{\"a\": " + std::string(400, '1') + ", \"b\": 0}"));
  EXPECT_EQ(observe(", expect: {json: {/a: '1'}}").reason(), "mismatch");
  EXPECT_EQ(observe(", expect: {json: {/b: '1e-320'}}").reason(), "mismatch");
  answer_always(http_answer(200, R"({"id": 4000000000000003})"));
  EXPECT_EQ(observe(", expect: {json: {/id: '4000000000000001'}}").reason(), "mismatch");
}

TEST_F(HttpTest, ReportsABodyThatIsNotJson) {
  answer_always(http_answer(200, "<html>"));
  EXPECT_EQ(observe(", expect: {json: {/status: ok}}").reason(), "mismatch");
  answer_always(http_answer(200, ""));
  EXPECT_EQ(observe(", expect: {json: {/status: ok}}").reason(), "mismatch");
}

TEST_F(HttpTest, AcceptsAnEmptyBody) {
  answer_always(http_answer(200, ""));
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("probe_http_uncompressed_body_length"), 0);
}

TEST_F(HttpTest, AcceptsAResponseToHeadWithoutABody) {
  answer_always("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  const test::Observation run = observe(", method: HEAD");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(calls.at(0).method, "HEAD");
}

// ---- failures -----------------------------------------------------------------------------------

TEST_F(HttpTest, ReportsAConnectionFailure) {
  const test::ClosedPort closed;
  const test::Observation run = fixture.observe("http", "url: 'http://" + closed.endpoint() + "/'");
  EXPECT_EQ(run.reason(), "connect");
  EXPECT_TRUE(run.threw());
  EXPECT_EQ(run.names().size(), 0U);
  EXPECT_EQ(run.reading("duration"), std::nullopt);
}

TEST_F(HttpTest, ReportsThatANameDoesNotResolve) {
  EXPECT_EQ(fixture.observe("http", "url: 'http://nowhere.invalid/'").reason(), "dns");
}

TEST_F(HttpTest, RejectsAResponseThatIsNotHttp) {
  answer_always("SSH-2.0-OpenSSH_9.2\r\n");
  EXPECT_EQ(observe().reason(), "protocol");
  answer_always("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
  EXPECT_EQ(observe().reason(), "protocol");
  answer_always("");
  const test::Observation run = observe();
  EXPECT_TRUE(run.threw());
  EXPECT_EQ(run.names().size(), 0U);
}

TEST_F(HttpTest, ReportsAServerWithoutTls) {
  const test::Conversation plain(fixture.loop, [](test::Line& line) -> asio::awaitable<void> {
    co_await line.write("SSH-2.0-OpenSSH_9.2\r\n");
    co_await line.discard_input();
  });
  EXPECT_EQ(fixture.observe("http", "url: 'https://" + plain.endpoint() + "/'").reason(), "tls");
}

TEST_F(HttpTest, RejectsABodyLargerThanMaxBody) {
  answer_always(http_answer(200, std::string(1025, 'x')));
  EXPECT_EQ(observe(", max_body: 1KiB").reason(), "protocol");
  answer_always(http_answer(200, std::string(1024, 'x')));
  EXPECT_EQ(observe(", max_body: 1KiB").failure(), "");
}

TEST_F(HttpTest, ReportsARequiredClientCertificateAsTls) {
  test::TlsServer server(test::make_certificate("shop.test"), [](test::TlsLine&) {});
  server.require_client_certificate();
  const test::Observation run = fixture.observe(
      "http",
      "tls: {verify: false}, url: 'https://127.0.0.1:" + std::to_string(server.port()) + "/'");
  EXPECT_EQ(run.reason(), "tls") << run.failure();
  EXPECT_TRUE(run.failure().contains("certificate required")) << run.failure();
}

// Parsing JSON takes 9 ms for each MiB.
TEST_F(HttpTest, JudgesALargeBodyOutsideOfTheLoop) {
  std::string body = R"({"a": {"b": 7}, "list": [0)";
  while (body.size() < 1'000'000) body += ",1.25,{\"c\":[]}";
  body += "]}";
  const auto begun = net::thread_cpu_time();
  EXPECT_TRUE(boost::json::parse(body).is_object());
  const auto cost = net::thread_cpu_time() - begun;
  answer_always(http_answer(200, body));
  const auto probe = fixture.make(
      "http", "url: " + quoted(url()) + ", expect: {json: {/a/b: 8, /list/1: 1.25}, body: 'x$'}");
  test::Task<test::Observation> run = fixture.begin(*probe);
  ASSERT_TRUE(fixture.until([&] { return !calls.empty(); }));
  EXPECT_LT(test::longest_turn(fixture.loop, [&] { return run.done(); }), cost);
  EXPECT_EQ(run.get().failure(),
            "mismatch: the body does not match 'x$'; the JSON value /a/b is '7', expected '8'");
}

// Waiting for a thread of vitalsd is not part of the duration and is not a failure of the target.
class HttpJudging : public HttpTest {
 protected:
  // Uses a thread of the pool until release().
  void occupy(net::Offload& pool, const std::string& resource) {
    const auto work = [this](const net::StopFlag&) {
      const std::lock_guard wait(mutex);
      return 0;
    };
    waiting.push_back(std::make_unique<test::Task<int>>(fixture.loop, pool.run(resource, work)));
  }
  void release() {
    held.unlock();
    for (const auto& task : waiting) EXPECT_EQ(task->get(), 0);
  }

  std::mutex mutex;
  std::unique_lock<std::mutex> held{mutex};
  std::vector<std::unique_ptr<test::Task<int>>> waiting;
  const std::string large = http_answer(200, std::string(100'000, 'x'));
};

TEST_F(HttpJudging, DoesNotWaitForHangingFiles) {
  for (std::size_t i = 0; i < net::Offload::kMaxThreads; ++i) {
    occupy(fixture.services.offload, std::to_string(i));
  }
  answer_always(large);
  EXPECT_EQ(observe(", expect: {body: 'x$'}").failure(), "");
  release();
}

TEST_F(HttpJudging, FailsWithInternalIfNoThreadIsFree) {
  occupy(fixture.services.computing, "another");
  answer_always(large);
  EXPECT_EQ(observe(", expect: {body: 'x$'}").reason(), "internal");
  release();
}

TEST_F(HttpJudging, IsNotPartOfTheDuration) {
  occupy(fixture.services.computing, "another");
  answer_always(large);
  const auto probe = fixture.make("http", "url: " + quoted(url()) + ", expect: {body: 'x$'}");
  test::Task<test::Observation> run = fixture.begin(*probe);
  ASSERT_TRUE(fixture.until([&] { return !calls.empty(); }));
  const auto called = test::Clock::now();
  constexpr std::chrono::milliseconds kWait{500};
  ASSERT_TRUE(fixture.until([&] { return test::Clock::now() - called > kWait; }));
  EXPECT_FALSE(run.done());
  release();
  const test::Observation& observed = run.get();
  EXPECT_EQ(observed.failure(), "");
  EXPECT_LT(observed.reading("duration").value_or(9), std::chrono::duration<double>(kWait).count());
}

}  // namespace
}  // namespace vitalsd
