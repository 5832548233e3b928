#include "exporter/web/password.hpp"

#include <ctime>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "unit/support/loop.hpp"
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <openssl/evp.h>

namespace vitalsd {
namespace {

using namespace std::string_literals;

// bcrypt of "hunter2" at the lowest cost, so that the tests are fast.
constexpr const char* kHash = "$2b$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm";

std::string encode_base64(std::string_view text) {
  std::string out((text.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

using Verdict = Passwords::Verdict;

class PasswordsTest : public testing::Test {
 protected:
  bool accepts(std::string authorization) {
    return verdict(passwords, std::move(authorization)) == Verdict::accepted;
  }
  Verdict verdict(Passwords& checker, std::string authorization) {
    return test::Task(loop, checker.check(std::move(authorization))).get();
  }
  bool accepts_pair(std::string_view pair) { return accepts("Basic " + encode_base64(pair)); }

  boost::asio::io_context loop{1};
  Passwords passwords{{{"prometheus", kHash}, {"other", kHash}}};
};

TEST(Passwords, AreRequiredIfUsersAreConfigured) {
  EXPECT_FALSE(Passwords({}).required());
  EXPECT_TRUE(Passwords({{"a", kHash}}).required());
}

TEST_F(PasswordsTest, AcceptsEachUserWithItsPassword) {
  EXPECT_TRUE(accepts_pair("prometheus:hunter2"));
  EXPECT_TRUE(accepts_pair("other:hunter2"));
  EXPECT_TRUE(accepts_pair("prometheus:hunter2"));  // from the cache
}

TEST_F(PasswordsTest, RefusesOtherUsersAndPasswords) {
  for (const char* pair : {"prometheus:hunter3", "prometheus:", "nobody:hunter2", ":", "",
                           "hunter2", ":hunter2", "prometheus:hunter2 ", "PROMETHEUS:hunter2"}) {
    EXPECT_FALSE(accepts_pair(pair)) << pair;
  }
}

TEST_F(PasswordsTest, RefusesPasswordsWithAZeroByte) {
  EXPECT_FALSE(accepts_pair("prometheus:hunter2\0x"s));
}

TEST_F(PasswordsTest, RefusesOtherHeaders) {
  const std::string good = encode_base64("prometheus:hunter2");
  EXPECT_FALSE(accepts(""));
  EXPECT_FALSE(accepts("Basic"));
  EXPECT_FALSE(accepts("Basic "));
  EXPECT_FALSE(accepts("Bearer " + good));
  EXPECT_FALSE(accepts("Basic " + good.substr(1)));
  EXPECT_FALSE(accepts("Basic *" + good));
  EXPECT_FALSE(accepts("Basic " + good + std::string(1024, 'A')));
}

TEST_F(PasswordsTest, RefusesUsersWithAnInvalidHash) {
  Passwords broken({{"a", "not a hash"}});
  EXPECT_EQ(verdict(broken, "Basic " + encode_base64("a:b")), Verdict::refused);
}

TEST_F(PasswordsTest, AcceptsTheSchemeInAnyCase) {
  for (const char* scheme : {"basic ", "BASIC ", "bAsIc "}) {
    EXPECT_TRUE(accepts(scheme + encode_base64("prometheus:hunter2"))) << scheme;
  }
}

// A hash with the same salt and another cost. No password matches it.
std::string costly_hash(std::string_view cost) {
  return "$2b$" + std::string(cost) + "$abcdefghijklmnopqrstuu" + std::string(31, 'x');
}

TEST_F(PasswordsTest, RefusesAllUsersInTheSameTime) {
  Passwords mixed({{"cheap", kHash}, {"costly", costly_hash("10")}});
  const auto time_of = [&](std::string_view user) {
    const std::clock_t start = std::clock();  // CPU time, so that other processes do not matter
    EXPECT_EQ(verdict(mixed, "Basic " + encode_base64(std::string(user) + ":wrong")),
              Verdict::refused);
    return std::clock() - start;
  };
  const auto costly = time_of("costly");
  EXPECT_GT(time_of("cheap"), costly / 2);
  EXPECT_GT(time_of("nobody"), costly / 2);
}

TEST_F(PasswordsTest, ReportsBusyBeyondEightPendingChecks) {
  Passwords slow({{"a", costly_hash("10")}});
  int refused = 0;
  int busy = 0;
  for (int i = 0; i < 40; ++i) {
    boost::asio::co_spawn(loop, slow.check("Basic " + encode_base64("a:" + std::to_string(i))),
                          [&](const std::exception_ptr&, Verdict verdict) {
                            ++(verdict == Verdict::busy ? busy : refused);
                          });
  }
  loop.run();
  loop.restart();
  EXPECT_EQ(refused, 8);
  EXPECT_EQ(busy, 32);
  EXPECT_EQ(verdict(slow, "Basic " + encode_base64("a:b")),
            Verdict::refused);  // the pending checks have ended
}

TEST(DecodeBase64, DecodesText) {
  for (const char* text : {"a", "ab", "abc", "abcd", "\xff\xfe"}) {
    EXPECT_EQ(decode_base64(encode_base64(text)), text);
  }
}

TEST(DecodeBase64, IsEmptyForInvalidText) {
  for (const char* text : {"", "A", "AA", "AAA", "AA=A", "A*==", "====", "AAA=AAA=", " AAA",
                           "AAA\n", "    QUI=", "QUI=    "}) {
    EXPECT_EQ(decode_base64(text), "") << text;
  }
}

}  // namespace
}  // namespace vitalsd
