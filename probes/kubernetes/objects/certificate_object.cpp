#include "probes/kubernetes/objects/certificate_object.hpp"

#include "probes/error.hpp"
#include "probes/kubernetes/objects/time.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace vitalsd::kubernetes {
namespace {

namespace json = boost::json;

const json::value* member(const json::value* value, std::string_view key) {
  const json::object* const object = value == nullptr ? nullptr : value->if_object();
  return object == nullptr ? nullptr : object->if_contains(key);
}

std::string text_of(const json::value* value) {
  const json::string* const text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string() : std::string(text->data(), text->size());
}

std::optional<double> time_of(const json::value* value) { return parse_time(text_of(value)); }

void read_conditions(const json::value* conditions, ManagedCertificate& out) {
  const json::array* const list = conditions == nullptr ? nullptr : conditions->if_array();
  if (list == nullptr) return;
  for (const json::value& condition : *list) {
    if (text_of(member(&condition, "type")) != "Ready") continue;
    const std::string status = text_of(member(&condition, "status"));
    if (status == "True" || status == "False") out.ready = status;
    out.ready_reason = text_of(member(&condition, "reason"));
    out.ready_since = time_of(member(&condition, "lastTransitionTime"));
  }
}

}  // namespace

ManagedCertificate read_managed_certificate(std::string_view text) {
  json::error_code error;
  const json::value root = json::parse({text.data(), text.size()}, error);
  if (error) {
    throw ProbeError(Reason::protocol, "a Certificate is malformed: " + error.message());
  }
  ManagedCertificate out;
  const json::value* const meta = member(&root, "metadata");
  out.name = text_of(member(meta, "name"));
  out.namespace_name = text_of(member(meta, "namespace"));
  out.uid = text_of(member(meta, "uid"));
  out.created = time_of(member(meta, "creationTimestamp"));
  if (out.name.empty()) {
    throw ProbeError(Reason::protocol, "a Certificate is malformed: it has no name");
  }
  const json::value* const issuer = member(member(&root, "spec"), "issuerRef");
  out.issuer_name = text_of(member(issuer, "name"));
  out.issuer_kind = text_of(member(issuer, "kind"));
  out.issuer_group = text_of(member(issuer, "group"));
  const json::value* const status = member(&root, "status");
  out.expires = time_of(member(status, "notAfter"));
  out.renews = time_of(member(status, "renewalTime"));
  read_conditions(member(status, "conditions"), out);
  return out;
}

}  // namespace vitalsd::kubernetes
