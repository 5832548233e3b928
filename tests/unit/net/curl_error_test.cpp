#include "probes/net/curl_error.hpp"

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

const config::Endpoint kEndpoint{"db.example", 443};

TEST(CurlErrorTest, MapsCodesToReasons) {
  const std::vector<std::pair<CURLcode, Reason>> rows = {
      {CURLE_COULDNT_RESOLVE_HOST, Reason::dns},   {CURLE_COULDNT_CONNECT, Reason::connect},
      {CURLE_OPERATION_TIMEDOUT, Reason::timeout}, {CURLE_PEER_FAILED_VERIFICATION, Reason::tls},
      {CURLE_SSL_CERTPROBLEM, Reason::tls},        {CURLE_URL_MALFORMAT, Reason::config},
      {CURLE_FAILED_INIT, Reason::internal},       {CURLE_GOT_NOTHING, Reason::protocol},
      {CURLE_RECV_ERROR, Reason::protocol},        {CURLE_OUT_OF_MEMORY, Reason::protocol},
  };
  for (const auto& [code, reason] : rows) {
    EXPECT_EQ(curl_error(code, 0, "text", kEndpoint).reason(), reason) << curl_easy_strerror(code);
  }
  EXPECT_STREQ(curl_error(CURLE_GOT_NOTHING, 0, "text", kEndpoint).what(), "text");
}

TEST(CurlErrorTest, MapsATlsAlertAfterTheHandshakeToTls) {
  const std::string alert =
      "OpenSSL SSL_read: error:0A00045C:SSL routines::tlsv13 alert certificate required, errno 0";
  EXPECT_EQ(curl_error(CURLE_RECV_ERROR, 0, alert, kEndpoint).reason(), Reason::tls);
  EXPECT_EQ(curl_error(CURLE_SEND_ERROR, 0, alert, kEndpoint).reason(), Reason::tls);
  EXPECT_EQ(curl_error(CURLE_WEIRD_SERVER_REPLY, 0, alert, kEndpoint).reason(), Reason::protocol);
}

TEST(CurlErrorTest, SaysThatAServerDoesNotUseTls) {
  const ProbeError error = curl_error(CURLE_SSL_CONNECT_ERROR, 0,
                                      "OpenSSL: SSL routines::wrong version number", kEndpoint);
  EXPECT_EQ(error.reason(), Reason::tls);
  EXPECT_STREQ(error.what(),
               "the server does not use TLS on this port: use http:// or the port for HTTPS "
               "(OpenSSL: SSL routines::wrong version number)");
}

TEST(CurlErrorTest, ReportsTheSystemErrorOfAConnectionAttempt) {
  const ProbeError refused = curl_error(CURLE_COULDNT_CONNECT, ECONNREFUSED, "text", kEndpoint);
  EXPECT_EQ(refused.reason(), Reason::connect);
  EXPECT_STREQ(refused.what(), "db.example:443: Connection refused");
  const ProbeError shortage = curl_error(CURLE_COULDNT_CONNECT, EMFILE, "text", kEndpoint);
  EXPECT_EQ(shortage.reason(), Reason::internal);
}

}  // namespace
}  // namespace vitalsd::net
