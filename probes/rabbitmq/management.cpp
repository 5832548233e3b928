#include "probes/rabbitmq/management.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <ranges>
#include <utility>

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace vitalsd::rabbitmq {

constexpr std::string_view kOverviewColumns = "object_totals,disable_stats";
constexpr std::string_view kNodeColumns =
    "name,running,mem_alarm,disk_free_alarm,partitions,mem_used,mem_limit,disk_free,"
    "disk_free_limit,fd_used,fd_total";
constexpr std::string_view kAttributeColumns =
    "vhost,name,type,state,policy,durable,exclusive,auto_delete";
constexpr std::string_view kQueueColumns =
    "vhost,name,type,state,policy,durable,exclusive,auto_delete,messages_ready,"
    "messages_unacknowledged,messages,consumers";

namespace {

namespace json = boost::json;

[[noreturn]] void refuse(std::string_view what, std::string_view why) {
  throw ProbeError(Reason::protocol, std::string(what) + ": " + std::string(why));
}

/// Parses a whole response. The values live in `memory`.
json::value parse(std::string_view what, std::string_view body, json::monotonic_resource& memory) {
  json::error_code error;
  json::value value = json::parse({body.data(), body.size()}, error, &memory);
  if (error) refuse(what, error.message());
  return value;
}

const json::value* member(const json::object& object, std::string_view name) {
  return object.if_contains({name.data(), name.size()});
}

std::string text(const json::object& object, std::string_view name) {
  const json::value* const value = member(object, name);
  const json::string* const string = value != nullptr ? value->if_string() : nullptr;
  return string != nullptr ? std::string(string->data(), string->size()) : std::string();
}

/// The text of a member; empty if the response does not have it or is not JSON.
std::string text_of(std::string_view body, std::string_view name) {
  json::error_code error;
  const json::value value = json::parse({body.data(), body.size()}, error);
  const json::object* const object = error ? nullptr : value.if_object();
  return object != nullptr ? text(*object, name) : std::string();
}

std::optional<bool> flag(const json::object& object, std::string_view name) {
  const json::value* const value = member(object, name);
  const bool* const found = value != nullptr ? value->if_bool() : nullptr;
  return found != nullptr ? std::optional(*found) : std::nullopt;
}

/// A negative or infinite number is unknown.
std::optional<double> number(const json::object& object, std::string_view name) {
  const json::value* const value = member(object, name);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const double found = value->to_number<double>();
  return std::isfinite(found) && found >= 0 ? std::optional(found) : std::nullopt;
}

const json::array* list(const json::object& object, std::string_view name) {
  const json::value* const value = member(object, name);
  return value != nullptr ? value->if_array() : nullptr;
}

/// Returns `array`. Throws if it is null.
const json::array& expect(std::string_view what, const json::array* array) {
  if (array == nullptr) refuse(what, "the response has no list");
  return *array;
}

std::size_t count(const json::object& object, std::string_view name) {
  return static_cast<std::size_t>(std::min(number(object, name).value_or(0), 1e9));
}

std::vector<std::string> split(std::string_view tags) {
  std::vector<std::string> out;
  for (const auto part : std::views::split(tags, ',')) {
    if (!part.empty()) out.emplace_back(part.begin(), part.end());
  }
  return out;
}

Queue to_queue(const json::object& object) {
  return {.vhost = text(object, "vhost"),
          .name = text(object, "name"),
          .ready = number(object, "messages_ready"),
          .unacked = number(object, "messages_unacknowledged"),
          .messages = number(object, "messages"),
          .consumers = number(object, "consumers"),
          .attributes = {.type = text(object, "type"),
                         .state = text(object, "state"),
                         .policy = text(object, "policy"),
                         .durable = flag(object, "durable"),
                         .exclusive = flag(object, "exclusive"),
                         .auto_delete = flag(object, "auto_delete")}};
}

}  // namespace

bool User::sees_all() const {
  return std::ranges::any_of(
      tags, [](const std::string& tag) { return tag == "monitoring" || tag == "administrator"; });
}

std::string User::granting_command() const {
  const bool is_plain = std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("-._@").contains(static_cast<char>(c));
  });
  std::string command = "rabbitmqctl set_user_tags " + (is_plain ? name : "'" + name + "'");
  for (const std::string& tag : tags) {
    if (tag != "management") command += ' ' + tag;  // `monitoring` includes `management`
  }
  return command + " monitoring";
}

User read_user(std::string_view body) {
  constexpr std::string_view kWhat = "/api/whoami";
  json::monotonic_resource memory;
  const json::value value = parse(kWhat, body, memory);
  const json::object* const object = value.if_object();
  if (object == nullptr || member(*object, "tags") == nullptr) {
    refuse(kWhat, "the response has no tags");
  }
  // Before 3.9, the tags are one text.
  User user{.name = text(*object, "name"), .tags = split(text(*object, "tags"))};
  if (const json::array* const tags = list(*object, "tags")) {
    for (const json::value& tag : *tags) {
      if (const json::string* const string = tag.if_string()) {
        user.tags.emplace_back(string->data(), string->size());
      }
    }
  }
  return user;
}

std::vector<ManagedNode> read_nodes(std::string_view body) {
  constexpr std::string_view kWhat = "/api/nodes";
  json::monotonic_resource memory;
  const json::value value = parse(kWhat, body, memory);
  std::vector<ManagedNode> nodes;
  constexpr std::size_t kMaxNodes = 1000;
  const json::array& items = expect(kWhat, value.if_array());
  if (items.size() > kMaxNodes) refuse(kWhat, "the list has too many nodes");
  for (const json::value& item : items) {
    const json::object* const object = item.if_object();
    if (object == nullptr) continue;
    const json::array* const partitions = list(*object, "partitions");
    ManagedNode node{.name = text(*object, "name"),
                     .running = flag(*object, "running").value_or(false),
                     .memory_alarm = flag(*object, "mem_alarm"),
                     .disk_alarm = flag(*object, "disk_free_alarm"),
                     .partitions = std::nullopt,
                     .memory_bytes = number(*object, "mem_used"),
                     .memory_limit_bytes = number(*object, "mem_limit"),
                     .disk_free_bytes = number(*object, "disk_free"),
                     .disk_limit_bytes = number(*object, "disk_free_limit"),
                     .descriptors = number(*object, "fd_used"),
                     .max_descriptors = number(*object, "fd_total")};
    if (partitions != nullptr) node.partitions = static_cast<double>(partitions->size());
    if (!node.name.empty()) nodes.push_back(std::move(node));
  }
  if (nodes.empty()) refuse(kWhat, "the response has no node");
  return nodes;
}

std::vector<Alarm> read_alarms(std::string_view body) {
  constexpr std::string_view kWhat = "/api/health/checks/alarms";
  json::monotonic_resource memory;
  const json::value value = parse(kWhat, body, memory);
  const json::object* const object = value.if_object();
  if (object == nullptr) refuse(kWhat, "the response is not an object");
  std::vector<Alarm> alarms;
  if (text(*object, "status") == "ok") return alarms;
  constexpr std::size_t kMaxAlarms = 10'000;
  const json::array& items = expect(kWhat, list(*object, "alarms"));
  if (items.size() > kMaxAlarms) refuse(kWhat, "the list has too many alarms");
  for (const json::value& item : items) {
    if (const json::object* const alarm = item.if_object()) {
      alarms.push_back({.node = text(*alarm, "node"), .resource = text(*alarm, "resource")});
    }
  }
  return alarms;
}

Overview read_overview(std::string_view body) {
  json::monotonic_resource memory;
  const json::value value = parse("/api/overview", body, memory);
  const json::object* const object = value.if_object();
  if (object == nullptr) return {};
  Overview out{.queues = std::nullopt,
               .has_statistics = !flag(*object, "disable_stats").value_or(false)};
  const json::value* const totals = member(*object, "object_totals");
  if (totals != nullptr && totals->is_object()) out.queues = count(totals->get_object(), "queues");
  return out;
}

std::vector<std::string> read_vhosts(std::string_view body) {
  constexpr std::string_view kWhat = "/api/vhosts";
  json::monotonic_resource memory;
  const json::value value = parse(kWhat, body, memory);
  std::vector<std::string> names;
  for (const json::value& item : expect(kWhat, value.if_array())) {
    if (const json::object* const vhost = item.if_object()) names.push_back(text(*vhost, "name"));
  }
  return names;
}

QueueList read_queues(std::string_view body) {
  constexpr std::string_view kWhat = "/api/queues";
  json::monotonic_resource memory;
  const json::value value = parse(kWhat, body, memory);
  QueueList out;
  const json::object* const object = value.if_object();
  const json::array* items = value.if_array();  // a server that ignores paging returns a list
  if (object != nullptr) {
    items = list(*object, "items");
    out.pages = count(*object, "page_count");
    out.total = count(*object, "total_count");
  }
  if (expect(kWhat, items).size() > kMaxQueues) refuse(kWhat, "the list has too many queues");
  for (const json::value& item : *items) {
    const json::object* const queue = item.if_object();
    if (queue == nullptr) continue;
    Queue read = to_queue(*queue);
    if (!read.name.empty()) out.queues.push_back(std::move(read));
  }
  return out;
}

std::string read_status(std::string_view body) { return text_of(body, "status"); }
std::string read_reason(std::string_view body) { return text_of(body, "reason"); }

}  // namespace vitalsd::rabbitmq
