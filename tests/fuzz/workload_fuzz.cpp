// Objects of the API server for the kinds workload, cert-manager and certificate (Secrets), and its
// list of resources.
#include "probes/certificate/tls_secret.hpp"
#include "probes/error.hpp"
#include "probes/kubernetes/objects/autoscaler_object.hpp"
#include "probes/kubernetes/objects/certificate_object.hpp"
#include "probes/kubernetes/objects/job_objects.hpp"
#include "probes/kubernetes/objects/quota_object.hpp"
#include "probes/kubernetes/objects/set_objects.hpp"
#include "probes/kubernetes/objects/volume_objects.hpp"
#include "probes/net/kubernetes/api.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace vitalsd;

namespace {

template <class Read>
void attempt(std::string_view bytes, const Read& read) {
  try {
    read(bytes);
  } catch (const ProbeError&) {  // the error for an invalid object
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  attempt(bytes, &kubernetes::read_deployment);
  attempt(bytes, &kubernetes::read_stateful_set);
  attempt(bytes, &kubernetes::read_daemon_set);
  attempt(bytes, &kubernetes::read_job);
  attempt(bytes, [](std::string_view each) {
    const kubernetes::CronJob job = kubernetes::read_cron_job(each);
    constexpr double kNow = 1'800'000'000;
    constexpr int kMax = 100;
    if (job.missed_runs(kNow, 0, kMax) > kMax) std::abort();
  });
  attempt(bytes, &kubernetes::read_autoscaler);
  attempt(bytes, &kubernetes::read_quota);
  attempt(bytes, &kubernetes::read_volume);
  attempt(bytes, &kubernetes::read_claim);
  attempt(bytes, &kubernetes::read_managed_certificate);
  attempt(bytes, &read_tls_secret);
  attempt(bytes, [](std::string_view each) { net::kubernetes::lists_resource(each, "cronjobs"); });
  return 0;
}
