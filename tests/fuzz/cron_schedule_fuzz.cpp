// The schedule of a CronJob, and its time zone on a second line.
#include "probes/kubernetes/objects/cron_schedule.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr double kNovember2026 = 1795399205;
  constexpr double kYear = 366.0 * 86400;
  constexpr int kMax = 20;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = text.find('\n');
  const std::string_view zone = end == std::string_view::npos ? "" : text.substr(end + 1);
  const auto schedule = kubernetes::CronSchedule::parse(text.substr(0, end), zone);
  if (!schedule) {
    if (schedule.error().empty()) std::abort();
    return 0;
  }
  const auto next = schedule->next(kNovember2026);
  if (next && *next <= kNovember2026) std::abort();
  const int missed = schedule->missed(kNovember2026, kNovember2026 + kYear, kMax);
  if (missed < 0 || missed > kMax) std::abort();
  if ((missed > 0) != (next && *next <= kNovember2026 + kYear)) std::abort();
  return 0;
}
