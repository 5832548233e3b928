#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "unit/support/dns_script.hpp"
#include "unit/support/kinds.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::dns_name;
using test::dns_number;
using test::DnsScript;

constexpr int kA = 1;
constexpr int kNs = 2;
constexpr int kCname = 5;
constexpr int kSoa = 6;
constexpr int kPtr = 12;
constexpr int kMx = 15;
constexpr int kTxt = 16;
constexpr int kAaaa = 28;
constexpr int kSrv = 33;
constexpr int kCaa = 257;

std::string txt(const std::string& text) { return static_cast<char>(text.size()) + text; }

class DnsTest : public testing::Test {
 protected:
  DnsScript::Script script() {
    return [this](const DnsScript::Query& query) { return answer(query); };
  }
  void answer_records(const std::vector<DnsScript::Record>& records) {
    answer = [records](const DnsScript::Query&) { return DnsScript::Answer{.records = records}; };
  }
  test::Observation observe(const std::string& type, const std::string& more = "") {
    return fixture.observe(
        "dns", "query: shop.example, server: '" + server.endpoint() + "', type: " + type + more);
  }

  test::ProbeFixture fixture;
  DnsScript::Script answer = [](const DnsScript::Query&) {
    return DnsScript::Answer{.records = {{kA, "\x0a\x01\x01\x01"}, {kA, "\x0a\x01\x01\x02"}}};
  };
  DnsScript server{fixture.loop, script()};
};

TEST_F(DnsTest, CountsTheRecords) {
  const test::Observation run = observe("A");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("probe_dns_answer_rrs"), 2);
  EXPECT_GE(run.value("probe_dns_duration_seconds").value_or(-1), 0);
  ASSERT_EQ(server.queries().size(), 1U);
  EXPECT_EQ(server.queries()[0].name, "shop.example");
  EXPECT_EQ(server.queries()[0].type, kA);
  EXPECT_FALSE(server.queries()[0].tcp);
}

TEST_F(DnsTest, ReadsRecordsOfEachType) {
  const std::string host = dns_name("a.example");
  const std::string v6 = dns_number(0x20010db8, 4) + std::string(11, '\0') + '\x07';
  struct Case {
    std::string type;
    int number;
    std::string data, text;
  };
  for (const Case& test_case : std::vector<Case>{
           {"A", kA, "\x0a\x01\x01\x01", "10.1.1.1"},
           {"AAAA", kAaaa, v6, "2001:db8::7"},
           {"CAA", kCaa, '\x80' + txt("issue") + "ca.example; a=B",
            R"(128 issue "ca.example; a=B")"},
           {"CNAME", kCname, host, "a.example"},
           {"MX", kMx, dns_number(10, 2) + host, "10 a.example"},
           {"PTR", kPtr, host, "a.example"},
           {"NS", kNs, host, "a.example"},
           {"SOA", kSoa,
            host + dns_name("root.example") + dns_number(1, 4) + dns_number(2, 4) +
                dns_number(3, 4) + dns_number(4, 4) + dns_number(5, 4),
            "a.example"},
           {"SRV", kSrv, dns_number(1, 2) + dns_number(2, 2) + dns_number(5060, 2) + host,
            "1 2 5060 a.example"},
           {"TXT", kTxt, txt("v=spf1 ") + txt("-all"), "v=spf1 -all"}}) {
    answer_records({{test_case.number, test_case.data}});
    const test::Observation run = observe(test_case.type, ", answers: ['" + test_case.text + "']");
    EXPECT_EQ(run.failure(), "") << test_case.type;
    EXPECT_EQ(run.value("probe_dns_answer_rrs"), 1) << test_case.type;
    EXPECT_EQ(server.queries().back().type, test_case.number);
  }
}

TEST_F(DnsTest, JoinsTheStringsOfATxtRecord) {
  answer_records({{kTxt, txt("a") + txt("b")}, {kTxt, txt("c")}});
  const test::Observation run = observe("TXT", ", answers: [ab, c]");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("probe_dns_answer_rrs"), 2);
}

TEST_F(DnsTest, CountsRecordsOfTheQueriedTypeOnly) {
  // The response also contains a CNAME record.
  answer_records({{kA, "\x0a\x01\x01\x01"}, {kCname, dns_name("shop.example")}});
  EXPECT_EQ(observe("A").value("probe_dns_answer_rrs"), 1);
}

TEST_F(DnsTest, ReportsAMissingRecord) {
  const test::Observation run = observe("A", ", answers: [10.1.1.2, 10.1.1.9]");
  EXPECT_EQ(run.failure(), "mismatch: '10.1.1.9' is missing from the records '10.1.1.1, 10.1.1.2'");
  EXPECT_FALSE(run.threw());
  EXPECT_EQ(run.value("probe_dns_answer_rrs"), 2);
}

TEST_F(DnsTest, ComparesRecordsInCanonicalForm) {
  const std::string host = dns_name("A.Example");
  const std::string soa = host + dns_name("root.example") + std::string(20, '\x01');
  const std::string v6 = dns_number(0x20010db8, 4) + std::string(11, '\0') + '\x0a';
  const std::string mapped = std::string(10, '\0') + "\xff\xff\x0a\x01\x01\x01";
  const std::string caa = '\0' + txt("Issue") + "CA.Example; Key=B";
  struct Case {
    std::string type;
    int number;
    std::string data, text;
    bool matches = true;
  };
  for (const Case& test_case : std::vector<Case>{
           {"AAAA", kAaaa, v6, "2001:DB8::A"},
           {"AAAA", kAaaa, v6, "2001:0db8:0000:0000:0000:0000:0000:000a"},
           {"AAAA", kAaaa, v6, "2001:db8:0::0:0.0.0.10"},
           {"AAAA", kAaaa, mapped, "::ffff:a01:101"},
           {"AAAA", kAaaa, v6, "2001:db8::b", false},
           {"AAAA", kAaaa, v6, "none", false},
           {"CNAME", kCname, host, "a.example."},
           {"PTR", kPtr, host, "a.EXAMPLE"},
           {"NS", kNs, host, "A.example."},
           {"NS", kNs, host, "a.example..", false},
           {"NS", kNs, host, "a.exampl", false},
           {"SOA", kSoa, soa, "a.example."},
           {"MX", kMx, dns_number(10, 2) + host, "10 a.example."},
           {"MX", kMx, dns_number(10, 2) + host, "10  A.EXAMPLE"},
           {"MX", kMx, dns_number(10, 2) + host, "20 a.example.", false},
           {"MX", kMx, dns_number(0, 2) + '\0', "0 ."},
           {"SRV", kSrv, dns_number(1, 2) + dns_number(2, 2) + dns_number(3, 2) + host,
            "1 2 3 a.example."},
           {"CAA", kCaa, caa, R"(0 issue "ca.example; Key=B")"},
           {"CAA", kCaa, caa, "0 issue ca.example; Key=B"},
           {"CAA", kCaa, caa, R"(0 issue "ca.example; key=b")", false},
           {"CAA", kCaa, caa, "0 issue", false},
           {"CAA", kCaa, '\0' + txt("iodef") + "mailto:A@b", R"(0 IODEF "mailto:A@b")"},
           {"CAA", kCaa, '\0' + txt("iodef") + "mailto:A@b", R"(0 iodef "mailto:a@b")", false},
           {"CAA", kCaa, '\0' + txt("issue") + ";", R"(0 issue ";")"},
           {"TXT", kTxt, txt("Key"), "Key"},
           {"TXT", kTxt, txt("Key"), "key", false},
           {"TXT", kTxt, txt("key."), "key", false}}) {
    answer_records({{test_case.number, test_case.data}});
    const test::Observation run = observe(test_case.type, ", answers: ['" + test_case.text + "']");
    EXPECT_EQ(run.reason(), test_case.matches ? "" : "mismatch")
        << test_case.type << ": " << test_case.text;
    EXPECT_EQ(run.value("probe_dns_answer_rrs"), 1) << test_case.type << ": " << test_case.text;
  }
}

TEST_F(DnsTest, ReportsTheServersErrorCode) {
  const std::map<int, std::string> codes = {
      {1, "protocol"}, {2, "mismatch"}, {3, "mismatch"}, {5, "mismatch"}};
  for (const auto& [code, reason] : codes) {
    answer = [code](const DnsScript::Query&) { return DnsScript::Answer{.code = code}; };
    const test::Observation run = observe("A");
    EXPECT_EQ(run.reason(), reason) << code;
    EXPECT_TRUE(run.failure().contains("shop.example: ")) << run.failure();
    EXPECT_TRUE(run.threw());
    EXPECT_EQ(run.names().size(), 0U);
  }
}

TEST_F(DnsTest, ExpectsNxdomain) {
  const std::string expect = ", expect: nxdomain";
  EXPECT_EQ(observe("A", expect).failure(),
            "mismatch: shop.example has '10.1.1.1, 10.1.1.2', expected no such name");
  EXPECT_EQ(observe("A", expect).value("probe_dns_answer_rrs"), 2);
  answer = [](const DnsScript::Query&) { return DnsScript::Answer{.code = 3}; };
  for (const std::string type : {"A", "AAAA", "CNAME", "MX", "PTR", "TXT"}) {
    const test::Observation run = observe(type, expect);
    EXPECT_EQ(run.failure(), "") << type;
    EXPECT_EQ(run.value("probe_dns_answer_rrs"), 0) << type;
    EXPECT_GE(run.value("probe_dns_duration_seconds").value_or(-1), 0) << type;
  }
  answer = [](const DnsScript::Query&) {  // an alias of a name that does not exist
    return DnsScript::Answer{.records = {{kCname, dns_name("other.example")}}, .code = 3};
  };
  EXPECT_EQ(observe("A", expect).failure(), "");
  answer_records({});
  EXPECT_EQ(observe("A", expect).reason(), "mismatch");
  for (const auto& [code, reason] : std::map<int, std::string>{{1, "protocol"}, {2, "mismatch"}}) {
    answer = [code](const DnsScript::Query&) { return DnsScript::Answer{.code = code}; };
    EXPECT_EQ(observe("A", expect).reason(), reason) << code;
  }
}

TEST_F(DnsTest, RejectsOnionNames) {
  for (const std::string query : {"a.onion", "a.Onion."}) {
    EXPECT_THROW(fixture.make("dns", "expect: nxdomain, query: " + query), std::runtime_error);
  }
  std::ignore = fixture.make("dns", "query: a.onion.example");
}

TEST_F(DnsTest, ExpectsNodata) {
  const std::string expect = ", expect: nodata";
  EXPECT_EQ(observe("A", expect).failure(),
            "mismatch: shop.example has '10.1.1.1, 10.1.1.2', expected no such record");
  answer = [](const DnsScript::Query&) { return DnsScript::Answer{.code = 3}; };
  EXPECT_EQ(observe("A", expect).reason(), "mismatch");
  for (const std::vector<DnsScript::Record>& records :
       {std::vector<DnsScript::Record>{}, {{kCname, dns_name("other.example")}}}) {
    answer_records(records);
    const test::Observation run = observe("AAAA", expect);
    EXPECT_EQ(run.failure(), "");
    EXPECT_EQ(run.value("probe_dns_answer_rrs"), 0);
  }
}

TEST_F(DnsTest, RejectsAnswersWithoutExpectRecords) {
  for (const std::string expect : {"nxdomain", "nodata"}) {
    try {
      std::ignore = observe("A", ", expect: " + expect + ", answers: [10.1.1.1]");
      ADD_FAILURE() << expect << " is accepted";
    } catch (const std::runtime_error& error) {
      EXPECT_TRUE(std::string(error.what()).contains("requires expect: records")) << error.what();
    }
  }
}

TEST_F(DnsTest, ReportsANameWithoutSuchARecordAsMismatch) {
  answer_records({});
  EXPECT_EQ(observe("A").reason(), "mismatch");
  answer_records(
      {{kCname, dns_name("other.example")}});  // an alias of a name without such a record
  for (const std::string type : {"A", "AAAA", "CAA", "MX", "NS", "PTR", "SRV", "TXT"}) {
    const test::Observation run = observe(type);
    EXPECT_EQ(run.reason(), "mismatch") << type;
    EXPECT_EQ(run.names().size(), 0U) << type;
  }
}

TEST_F(DnsTest, YieldsToOtherWorkWhileReadingManyResponses) {
  asio::ip::udp::socket flood(fixture.loop, {asio::ip::address_v4::loopback(), 0});
  const auto probe = fixture.make("dns", "query: shop.example, server: '127.0.0.1:" +
                                             std::to_string(flood.local_endpoint().port()) + '\'');
  auto run = fixture.begin(*probe);
  ASSERT_TRUE(fixture.until([&] { return flood.available() > 0; }));
  std::array<char, 512> bytes{};
  asio::ip::udp::endpoint client;
  const std::size_t size = flood.receive_from(asio::buffer(bytes), client);
  bytes[2] |= '\x80';  // a response, without records
  std::array<char, 512> other = bytes;
  other[0] ^= 1;  // with the ID of another query
  constexpr int kUnrelated = 200;
  for (int i = 0; i < kUnrelated; ++i) flood.send_to(asio::buffer(other, size), client);
  flood.send_to(asio::buffer(bytes, size), client);

  int turns = 0;
  std::function<void()> turn = [&] {
    ++turns;
    if (!run.done()) asio::post(fixture.loop, turn);
  };
  asio::post(fixture.loop, turn);
  ASSERT_TRUE(fixture.until([&] { return run.done(); }));
  test::settle(fixture.loop);
  EXPECT_EQ(run.get().reason(), "mismatch");
  EXPECT_GE(turns, 6);
}

TEST_F(DnsTest, RejectsTruncatedRecords) {
  for (const auto& [type, number, data] :
       std::vector<std::tuple<std::string, int, std::string>>{{"MX", kMx, "\x01"},
                                                              {"CAA", kCaa, "\x01"},
                                                              {"CNAME", kCname, ""},
                                                              {"CNAME", kCname, "\x05web"},
                                                              {"PTR", kPtr, "\xc0"},
                                                              {"PTR", kPtr, "\xc0\xff"}}) {
    answer_records({{kA, "\x0a\x01\x01\x01"}, {number, data}});
    const test::Observation run = observe(type);
    EXPECT_EQ(run.reason(), "protocol") << type;
    EXPECT_TRUE(run.threw());
  }
}

TEST_F(DnsTest, UsesTcpIfConfigured) {
  EXPECT_EQ(observe("A", ", protocol: tcp").value("probe_dns_answer_rrs"), 2);
  ASSERT_EQ(server.queries().size(), 1U);
  EXPECT_TRUE(server.queries()[0].tcp);
}

TEST_F(DnsTest, RetriesOverTcpAfterATruncatedResponse) {
  answer = [](const DnsScript::Query& query) {
    DnsScript::Answer out;
    out.truncated = !query.tcp;
    for (int i = 0; query.tcp && i < 200; ++i) {
      out.records.push_back({kA, "\x0a\x01\x01" + std::string(1, static_cast<char>(i))});
    }
    return out;
  };
  EXPECT_EQ(observe("A").value("probe_dns_answer_rrs"), 200);
  EXPECT_EQ(server.queries().size(), 2U);
}

TEST_F(DnsTest, QueriesTheReverseNameOfAnAddress) {
  answer = [](const DnsScript::Query& query) {
    return DnsScript::Answer{.records = {{query.type, dns_name("web.example")}}};
  };
  const auto queried_name = [&](const std::string& query) {
    const test::Observation run =
        fixture.observe("dns", "type: PTR, answers: [web.example], query: '" + query +
                                   "', server: '" + server.endpoint() + '\'');
    EXPECT_EQ(run.failure(), "") << query;
    return server.queries().back().name;
  };
  EXPECT_EQ(queried_name("192.0.2.10"), "10.2.0.192.in-addr.arpa");
  EXPECT_EQ(queried_name("2001:DB8::7"),
            "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  EXPECT_EQ(queried_name("10.2.0.192.in-addr.arpa"), "10.2.0.192.in-addr.arpa");
}

TEST_F(DnsTest, ReturnsAnAliasInsteadOfItsTarget) {
  answer_records({{kCname, dns_name("other.example")}, {kA, "\x0a\x01\x01\x01"}});
  const test::Observation run = observe("CNAME", ", answers: [other.example]");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("probe_dns_answer_rrs"), 1);
  answer_records({{kA, "\x0a\x01\x01\x01"}});
  EXPECT_EQ(observe("CNAME").reason(), "mismatch");
  EXPECT_EQ(observe("PTR").reason(), "mismatch");
  EXPECT_EQ(observe("CAA").reason(), "mismatch");
}

TEST_F(DnsTest, CountsThousandsOfRecords) {
  constexpr unsigned kMany = 2000;
  answer = [](const DnsScript::Query& query) {
    DnsScript::Answer out;
    for (unsigned i = 0; i < kMany; ++i) {
      const std::string number = dns_number(i, 2);
      const std::map<int, std::string> data = {{kA, "\x0a\x01" + number},
                                               {kAaaa, std::string(14, '\x20') + number},
                                               {kMx, number + '\0'},
                                               {kNs, dns_name("n" + std::to_string(i))},
                                               {kPtr, dns_name("n" + std::to_string(i))},
                                               {kCaa, '\x01' + txt("issue") + number},
                                               {kTxt, txt(number)},
                                               {kSrv, number + dns_number(0, 4) + '\0'}};
      out.records.push_back({query.type, data.at(query.type)});
    }
    return out;
  };
  for (const std::string type : {"A", "AAAA", "CAA", "MX", "NS", "PTR", "SRV", "TXT"}) {
    EXPECT_EQ(observe(type, ", protocol: tcp").value("probe_dns_answer_rrs"), kMany) << type;
  }
  EXPECT_EQ(observe("A", ", protocol: tcp, answers: [10.1.7.207]").failure(), "");
}

TEST_F(DnsTest, ReportsAConnectionFailure) {
  const test::ClosedPort closed;
  const test::Observation run = fixture.observe(
      "dns", "query: shop.example, protocol: tcp, server: '" + closed.endpoint() + '\'');
  EXPECT_EQ(run.reason(), "connect");
}

TEST_F(DnsTest, IsCancelledWhileTheServerIsSilent) {
  answer = [](const DnsScript::Query&) { return DnsScript::Answer{.silent = true}; };
  const auto probe =
      fixture.make("dns", "query: shop.example, server: '" + server.endpoint() + '\'');
  auto task = fixture.begin(*probe);
  ASSERT_TRUE(fixture.until([&] { return !server.queries().empty(); }));
  task.cancel();
  ASSERT_TRUE(fixture.until([&] { return task.done(); }));
  EXPECT_THROW(task.get(), boost::system::system_error);
  answer_records({{kA, "\x0a\x01\x01\x01"}});
  EXPECT_EQ(fixture.observe(*probe).value("probe_dns_answer_rrs"), 1);
}

TEST_F(DnsTest, UsesAnIpv6Server) {
  if (!test::has_ipv6()) GTEST_SKIP() << "there is no ::1";
  const DnsScript other(fixture.loop, script(), asio::ip::address_v6::loopback());
  const auto probe =
      fixture.make("dns", "query: shop.example, server: '" + other.endpoint() + '\'');
  EXPECT_EQ(fixture.observe(*probe).value("probe_dns_answer_rrs"), 2);
  EXPECT_EQ(probe->target(), "shop.example A at " + other.endpoint());
  EXPECT_EQ(probe->endpoint(), other.endpoint());
}

TEST_F(DnsTest, ReportsThatTheServersNameDoesNotResolve) {
  EXPECT_EQ(fixture.observe("dns", "query: a.example, server: 'nowhere.invalid:53'").reason(),
            "dns");
}

}  // namespace
}  // namespace vitalsd
