// Numbers in the JSON of saved states, as text: Boost.JSON 1.81 reads doubles with an error of a
// few units in the last place, and cannot read the infinities that it writes.
#pragma once

#include <string>

#include <boost/json/value.hpp>

namespace vitalsd {

/// The shortest text from which read_saved_number() returns the same number.
std::string saved_number(double number);

/// Also accepts a JSON number, which earlier versions wrote. Throws std::exception if the value is
/// no number.
double read_saved_number(const boost::json::value& saved);

}  // namespace vitalsd
