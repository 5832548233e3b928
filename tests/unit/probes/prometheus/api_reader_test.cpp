#include "probes/prometheus/api_reader.hpp"

#include <map>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::prometheus {
namespace {

using testing::HasSubstr;

class Recorder final : public ApiContent {
 public:
  void text(std::string_view path, std::string_view text) override {
    events += std::string(path) + '=' + std::string(text) + ' ';
  }
  void object_ended(std::string_view path) override { events += std::string(path) + "} "; }
  std::string events;
};

// The events of a response that arrives in pieces of `size` bytes.
std::string events(std::string_view body, std::size_t size = 1) {
  Recorder recorder;
  ApiReader reader(recorder);
  for (std::size_t at = 0; at < body.size(); at += size) reader.feed(body.substr(at, size));
  reader.finish(200);
  return recorder.events;
}

std::string error(std::string_view body, int status = 200) {
  Recorder recorder;
  ApiReader reader(recorder);
  try {
    reader.feed(body);
    reader.finish(status);
  } catch (const ProbeError& error) {
    return std::string(reason_name(error.reason())) + ": " + error.what();
  }
  return "";
}

TEST(ApiReader, PassesTextsWithTheirPaths) {
  const std::string_view body =
      R"({"status":"success","data":{"a":[{"b":"x","n":1.5,"t":true,"z":null},{"b":"y"}],"c/d":"e"}})";
  const std::string expected = "/data/a/b=x /data/a} /data/a/b=y /data/a} /data/?=e /data} } ";
  EXPECT_EQ(events(body), expected);
  EXPECT_EQ(events(body, body.size()), expected);
}

TEST(ApiReader, PassesTheSamplesOfAResult) {
  EXPECT_EQ(
      events(R"({"data":{"result":[{"metric":{"a":"b"},"value":[1.7,"3"]}]},"status":"success"})"),
      "/data/result/metric/a=b /data/result/metric} /data/result/value=3 /data/result} "
      "/data} } ");
  EXPECT_EQ(events(R"({"status":"success","data":{"result":[1.7,"3"]}})"),
            "/data/result=3 /data} } ");
}

TEST(ApiReader, KeepsTheBeginningOfLongTexts) {
  const std::string text(5000, 'x');
  EXPECT_EQ(events(R"({"status":"success","data":")" + text + "\"}", 100),
            "/data=" + text.substr(0, 1024) + " } ");
  EXPECT_EQ(events(R"({"status":"success",")" + text + R"(":"y"})", 100), "/?=y } ");
}

TEST(ApiReader, ReportsErrorsOfTheApi) {
  const std::map<std::string, std::string> reasons = {
      {"bad_data", "config"},   {"execution", "mismatch"},  {"timeout", "overload"},
      {"canceled", "overload"}, {"unavailable", "unready"}, {"internal", "mismatch"},
      {"not_found", "mismatch"}};
  for (const auto& [type, reason] : reasons) {
    EXPECT_EQ(error(R"({"status":"error","errorType":")" + type + R"(","error":"because"})", 422),
              reason + ": status 422, " + type + ": 'because'");
  }
  EXPECT_EQ(error(R"({"status":"error"})", 503), "unready: status 503");
}

TEST(ApiReader, RefusesWhatIsNotTheApi) {
  EXPECT_THAT(error("<html>"), HasSubstr("protocol: the response is not valid JSON: "));
  EXPECT_THAT(error(""), HasSubstr("protocol: the response is not valid JSON: "));
  EXPECT_THAT(error(R"({"status":"success")"), HasSubstr("protocol: "));
  EXPECT_THAT(error(R"({"status":"success"}x)"), HasSubstr("protocol: "));
  EXPECT_THAT(error(std::string(100, '[')), HasSubstr("protocol: "));
  EXPECT_THAT(error("{}"), HasSubstr("it has no status"));
  EXPECT_THAT(error(R"({"status":{"status":"success"}})"), HasSubstr("it has no status"));
}

TEST(ApiReader, KeepsTheFirstWarning) {
  Recorder recorder;
  ApiReader reader(recorder);
  reader.feed(R"({"status":"success","warnings":["first","second"],"infos":["x"],"data":{}})");
  reader.finish(200);
  EXPECT_EQ(reader.warning(), "first");
}

TEST(ApiError, ReadsTheBodyOfTheApiOrOfAProxy) {
  const auto text = [](int status, std::string_view body) {
    const ProbeError error = api_error(status, body);
    return std::string(reason_name(error.reason())) + ": " + error.what();
  };
  EXPECT_EQ(text(400, R"({"status":"error","errorType":"bad_data","error":"1:5: parse error"})"),
            "config: status 400, bad_data: '1:5: parse error'");
  EXPECT_EQ(text(503, "Service Unavailable"), "unready: status 503: 'Service Unavailable'");
  EXPECT_EQ(text(401, "Unauthorized\n"), "auth: status 401: 'Unauthorized'");
  EXPECT_EQ(text(403, "<html><title>No</title>"), "permission: status 403");
  EXPECT_EQ(text(429, ""), "overload: status 429");
  EXPECT_EQ(text(404, "404 page not found\n"), "mismatch: status 404: '404 page not found'");
  EXPECT_EQ(text(302, ""), "mismatch: status 302");
}

}  // namespace
}  // namespace vitalsd::prometheus
