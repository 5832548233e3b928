// The series of kind `backup`, for its tests.
#pragma once

#include <string>
#include <string_view>

#include "unit/support/kinds.hpp"

namespace vitalsd::test {

inline constexpr std::string_view kLast = "backup_last_success_timestamp_seconds";
inline constexpr std::string_view kDocumented = "vcci_last_successful_backup_timestamp";

inline double objects(const Observation& run, const std::string& state) {
  return run.value("backup_objects", {{"state", state}}).value_or(-1);
}

}  // namespace vitalsd::test
