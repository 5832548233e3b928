// CronJobs of kind workload against a scripted API server of an old version. Such a server lists
// CronJobs as v1beta1, without lastSuccessfulTime.
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/kubernetes_script.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::http_answer;
using test::HttpScript;
using test::Message;

Message cron_job(std::string_view name) {
  return Message()
      .message(1, test::metadata(name))
      .message(2, Message().text(1, "0 2 * * *").text(3, "Allow"))
      .message(3, Message().time(4, 900));  // metadata() is created at 1000, after this run
}

Message job(std::string_view name, std::string_view owner, std::string_view ended) {
  const Message reference = Message().text(1, "CronJob").text(3, owner).number(6, 1);
  const Message condition = Message().text(1, ended).text(2, "True");
  return Message()
      .message(1, test::metadata(name).message(13, reference))
      .message(3, Message().message(1, condition));
}

// `version`: that of CronJobs.
test::Observation observe(std::string_view version, const std::vector<Message>& cron_jobs,
                          const std::vector<Message>& jobs, int jobs_status = 200) {
  test::ProbeFixture fixture;
  const test::TempDirectory scratch;
  const HttpScript server(fixture.loop, [&](const std::string& target) -> HttpScript::Reply {
    if (target.contains("sendInitialEvents")) return {http_answer(400, "not known")};
    if (target.contains("watch=1")) return {test::http_stream(), true};
    if (target.contains("/jobs")) {
      return {http_answer(jobs_status, jobs_status == 200 ? test::kubernetes_list(jobs, 7) : "")};
    }
    if (target.contains("/cronjobs")) {
      return {http_answer(200, test::kubernetes_list(cron_jobs, 7))};
    }
    const bool has = target.ends_with("/" + std::string(version));
    return {http_answer(200, has ? R"({"resources": [{"name": "jobs"}, {"name": "cronjobs"}]})"
                                 : R"({"resources": [{"name": "jobs"}]})")};
  });
  fixture.services.kubernetes.set_access(
      {.kubeconfig = scratch.file("kubeconfig", test::kubeconfig_of(server.url())), .context = ""});
  return fixture.observe("workload", "resources: [cronjobs]");
}

TEST(CronJobs, OfAnOldServerAreJudgedByTheirJobs) {
  const test::Observation run =
      observe("v1beta1", {cron_job("well"), cron_job("failing"), cron_job("without-jobs")},
              {job("well-1", "well", "Complete"), job("failing-1", "failing", "Failed")});
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.reading("last_run_failed", "shop/failing"), 1);
  EXPECT_EQ(run.reading("last_run_unknown", "shop/without-jobs"), 1);
}

TEST(CronJobs, OfAnOldServerAreUnknownIfTheirJobsCannotBeRead) {
  const test::Observation run = observe("v1beta1", {cron_job("nightly")}, {}, 403);
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.reading("last_run_failed"), 0);
  EXPECT_EQ(run.reading("last_run_unknown", "shop/nightly"), 1);
}

TEST(CronJobs, WithoutASuccessHaveFailedUnlessAJobSucceeded) {
  const test::Observation run = observe("v1", {cron_job("upgraded"), cron_job("failing")},
                                        {job("upgraded-1", "upgraded", "Complete")});
  EXPECT_EQ(run.reading("last_run_failed", "shop/failing (has never succeeded)"), 1);
  EXPECT_EQ(run.reading("last_run_unknown"), 0);
}

}  // namespace
}  // namespace vitalsd
