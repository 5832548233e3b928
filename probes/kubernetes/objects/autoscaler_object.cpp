#include "probes/kubernetes/objects/autoscaler_object.hpp"

#include "probes/kubernetes/objects/quantity.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace vitalsd::kubernetes {
namespace {

constexpr ConditionFields kAutoscalerCondition{.reason = 4, .last_transition = 3};

void read_target(std::string_view message, Autoscaler& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.target_kind = field.bytes();
    if (field.tag() == 2) out.target_name = field.bytes();
    if (field.tag() == 3) out.target_api_version = field.bytes();
  });
}

// Field numbers of a metric. They differ between targets and current values.
struct MetricFields {
  std::uint32_t object;
  std::uint32_t object_metric;
  std::uint32_t value;
  std::uint32_t average;
  std::uint32_t utilization;
};
constexpr MetricFields kTarget{
    .object = 1, .object_metric = 3, .value = 2, .average = 3, .utilization = 4};
constexpr MetricFields kReading{
    .object = 3, .object_metric = 1, .value = 1, .average = 2, .utilization = 3};

// The source of a metric: fields of MetricSpec and MetricStatus.
namespace source {
constexpr std::uint32_t kObject = 2;
constexpr std::uint32_t kPods = 3;
constexpr std::uint32_t kResource = 4;
constexpr std::uint32_t kExternal = 5;
constexpr std::uint32_t kContainerResource = 7;
}  // namespace source

// "queue in (orders,returns)", "!queue". Empty if the operator is unknown.
std::string read_requirement(std::string_view message) {
  std::string_view key;
  std::string_view op;
  std::string values;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) key = field.bytes();
    if (field.tag() == 2) op = field.bytes();
    if (field.tag() == 3) {
      if (!values.empty()) values += ',';
      values += field.bytes();
    }
  });
  std::string text(key);
  if (op == "In") return text + " in (" + values + ')';
  if (op == "NotIn") return text + " notin (" + values + ')';
  if (op == "Exists") return text;
  if (op == "DoesNotExist") return '!' + text;
  return "";
}

// A metav1.LabelSelector. Sorted, because the order of its requirements has no meaning.
std::string read_selector(std::string_view message) {
  std::vector<std::string> requirements;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) {
      read_map_entry(field.bytes(), [&](std::string_view label, std::string_view value) {
        requirements.push_back(std::string(label) + '=' + std::string(value));
      });
    }
    if (field.tag() == 2) requirements.push_back(read_requirement(field.bytes()));
  });
  std::ranges::sort(requirements);
  std::string text;
  for (const std::string& requirement : requirements) {
    if (!text.empty()) text += ',';
    text += requirement;
  }
  return text;
}

std::string read_object(std::string_view message) {
  std::string kind;
  std::string name;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) kind = field.bytes();
    if (field.tag() == 2) name = field.bytes();
  });
  return kind + '/' + name;
}

// Adds `metric` once for each type of value that the message has.
void read_values(std::string_view message, const MetricFields& fields, AutoscalerReading metric,
                 std::vector<AutoscalerReading>& out) {
  const auto add = [&](std::string_view type, double value) {
    metric.type = type;
    metric.value = value;
    out.push_back(metric);
  };
  const auto add_quantity = [&](std::string_view quantity, std::string_view type) {
    for_each_field(quantity, [&](Field& text) {
      if (text.tag() != 1) return;
      const std::optional<double> value = parse_quantity(text.bytes());
      if (value) add(type, *value);
    });
  };
  for_each_field(message, [&](Field& field) {
    if (field.tag() == fields.value) add_quantity(field.bytes(), "value");
    if (field.tag() == fields.average) add_quantity(field.bytes(), "average");
    if (field.tag() == fields.utilization) add("utilization", static_cast<double>(field.integer()));
  });
}

void read_source(std::string_view message, std::uint32_t kind, const MetricFields& fields,
                 std::vector<AutoscalerReading>& out) {
  const bool is_resource = kind == source::kResource || kind == source::kContainerResource;
  const std::uint32_t metric_tag = kind == source::kObject ? fields.object_metric : 1;
  AutoscalerReading reading;
  std::string_view values;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 2) values = field.bytes();
    if (kind == source::kContainerResource && field.tag() == 3) reading.container = field.bytes();
    if (kind == source::kObject && field.tag() == fields.object) {
      reading.object = read_object(field.bytes());
    }
    if (field.tag() != metric_tag) return;
    if (is_resource) {
      reading.metric = field.bytes();
      return;
    }
    for_each_field(field.bytes(), [&](Field& identifier) {
      if (identifier.tag() == 1) reading.metric = identifier.bytes();
      if (identifier.tag() == 2) reading.selector = read_selector(identifier.bytes());
    });
  });
  if (!reading.metric.empty()) read_values(values, fields, std::move(reading), out);
}

// The field `type` names the source, but only one source is present, so `type` is not needed.
void read_metric(std::string_view message, const MetricFields& fields,
                 std::vector<AutoscalerReading>& out) {
  for_each_field(message, [&](Field& field) {
    for (const std::uint32_t kind : {source::kObject, source::kPods, source::kResource,
                                     source::kExternal, source::kContainerResource}) {
      if (field.tag() == kind) read_source(field.bytes(), kind, fields, out);
    }
  });
}

// autoscaling/v1 knows only CPU: it has a percentage instead of the list of metrics.
void read_metrics(Field& field, const MetricFields& fields, std::vector<AutoscalerReading>& out) {
  if (field.has_bytes()) {
    read_metric(field.bytes(), fields, out);
  } else {
    const auto percent = static_cast<double>(field.integer());
    out.push_back({.metric = "cpu", .type = "utilization", .value = percent});
  }
}

void read_spec(std::string_view message, Autoscaler& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) read_target(field.bytes(), out);
    if (field.tag() == 2) out.min = field.integer();
    if (field.tag() == 3) out.max = field.integer();
    if (field.tag() == 4) read_metrics(field, kTarget, out.targets);
  });
}

void read_status(std::string_view message, Autoscaler& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 3) out.current = field.integer();
    if (field.tag() == 4) out.desired = field.integer();
    if (field.tag() == 5) read_metrics(field, kReading, out.readings);
    if (field.tag() == 6) {
      out.conditions.push_back(read_condition(field.bytes(), kAutoscalerCondition));
    }
  });
}

}  // namespace

Autoscaler read_autoscaler(std::string_view message) {
  Autoscaler autoscaler;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) autoscaler.meta = read_metadata(field.bytes());
    if (field.tag() == 2) read_spec(field.bytes(), autoscaler);
    if (field.tag() == 3) read_status(field.bytes(), autoscaler);
  });
  return autoscaler;
}

}  // namespace vitalsd::kubernetes
