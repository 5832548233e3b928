// What survives a restart of the metrics that a job has pushed.
#include "probes/job/groups.hpp"
#include "probes/saved_number.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <boost/json/object.hpp>

namespace vitalsd::job {

namespace {

namespace json = boost::json;

// Throws std::exception if the value is not a time before the year 10000.
double to_time(const json::value& value) {
  constexpr double kMax = 253402300800;
  const auto time = read_saved_number(value);
  if (!(time >= 0 && time < kMax)) throw std::out_of_range("time");
  return time;
}

std::string to_text(const json::value& value) { return std::string(value.as_string()); }

Type to_type(json::string_view text) {
  const std::string_view word(text.data(), text.size());
  for (const Type type :
       {Type::gauge, Type::counter, Type::histogram, Type::summary, Type::info, Type::stateset}) {
    if (word == type_name(type)) return type;
  }
  return Type::unknown;
}

}  // namespace

json::array Groups::to_json() const {
  json::array out;
  for (const auto& [labels, group] : *groups_) {
    json::object& entry = out.emplace_back(json::object()).as_object();
    entry["labels"] = labels;
    entry["pushed"] = saved_number(group.pushed);
    entry["failed"] = saved_number(group.failed);
    json::array& families = entry["families"].emplace_array();
    for (const auto& [name, family] : group.families) {
      const std::string_view type = type_name(family->type);
      families.push_back({{"name", name},
                          {"type", json::string_view(type.data(), type.size())},
                          {"help", family->help},
                          {"lines", family->lines}});
    }
  }
  return out;
}

void Groups::restore(const json::value& saved) {
  ByLabels groups;
  for (const json::value& value : saved.as_array()) {
    const json::object& entry = value.as_object();
    Group& group = groups[to_text(entry.at("labels"))];
    group.pushed = to_time(entry.at("pushed"));
    group.failed = to_time(entry.at("failed"));
    for (const json::value& each : entry.at("families").as_array()) {
      const json::object& family = each.as_object();
      group.families.emplace(
          to_text(family.at("name")),
          std::make_shared<Family>(to_type(family.at("type").as_string()),
                                   to_text(family.at("help")), to_text(family.at("lines"))));
    }
  }
  if (groups.size() > kMaxGroups || !accept(std::move(groups))) {
    throw std::invalid_argument("groups");
  }
}

}  // namespace vitalsd::job
