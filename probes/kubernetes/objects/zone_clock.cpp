#include "probes/kubernetes/objects/zone_clock.hpp"

#include "probes/kubernetes/objects/excerpt.hpp"

#include <exception>

#include <date/tz.h>

namespace vitalsd::kubernetes {

namespace {

using std::chrono::days;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

using Error = std::unexpected<std::string>;

/// A period in which the zone has a constant offset from UTC.
struct OffsetPeriod {
  sys_seconds begin;
  sys_seconds end;
  seconds offset;
};

OffsetPeriod offset_period(const date::time_zone* zone, sys_seconds time) {
  if (zone == nullptr) return {sys_seconds::min(), sys_seconds::max(), seconds(0)};
  const date::sys_info info = zone->get_info(time);
  return {info.begin, info.end, info.offset};
}

}  // namespace

std::expected<const date::time_zone*, std::string> find_zone(std::string_view name) {
  constexpr const char* kNoDatabase =
      "the time zone database is missing (Debian: install the package tzdata)";
  try {
    if (date::get_tzdb().zones.empty()) return Error(kNoDatabase);
  } catch (const std::exception&) {
    return Error(kNoDatabase);
  }
  const date::time_zone* zone = nullptr;
  try {
    zone = date::locate_zone(name);
  } catch (const std::exception&) {
    return Error("unknown time zone " + excerpt(name));
  }
  try {
    (void)zone->get_info(sys_seconds());  // reads the zone's file at its first use
  } catch (const std::exception& error) {
    return Error("cannot read time zone " + excerpt(name) + ": " + error.what());
  }
  return zone;
}

WallClock wall_clock(const date::time_zone* zone, sys_seconds time) {
  const sys_seconds local = time + offset_period(zone, time).offset;
  const sys_days day = std::chrono::floor<days>(local);
  return {day, local - day};
}

sys_seconds time_at(const date::time_zone* zone, sys_days date, seconds time) {
  const sys_seconds local = date + time;
  OffsetPeriod period = offset_period(zone, local);
  const sys_seconds utc = local - period.offset;
  if (utc < period.begin || utc >= period.end) period = offset_period(zone, utc);
  return local - period.offset;
}

}  // namespace vitalsd::kubernetes
