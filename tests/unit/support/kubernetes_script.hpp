// Responses of a Kubernetes API server in Protobuf, and a kubeconfig, for an HttpScript.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "unit/support/protobuf.hpp"

namespace vitalsd::test {

/// `message` as the raw field of the envelope runtime.Unknown, after the magic bytes "k8s\0".
inline std::string kubernetes_envelope(const Message& message) {
  return std::string("k8s\0", 4) + Message().message(2, message).bytes();
}

/// A list of objects at the resource version `version`. `token` is the continue token of the next
/// page; it is empty for the last page.
inline std::string kubernetes_list(const std::vector<Message>& objects, int version,
                                   std::string_view token = "") {
  Message out;
  out.message(1, Message().text(2, std::to_string(version)).text(3, token));
  for (const Message& object : objects) out.message(2, object);
  return kubernetes_envelope(out);
}

/// A kubeconfig for the API server at `url`.
inline std::string kubeconfig_of(const std::string& url) {
  return "current-context: it\ncontexts: [{name: it, context: {cluster: it, user: it}}]\n"
         "clusters: [{name: it, cluster: {server: '" +
         url + "'}}]\nusers: [{name: it, user: {token: secret}}]\n";
}

}  // namespace vitalsd::test
