#include "probes/kubernetes/objects/certificate_object.hpp"

#include "probes/error.hpp"

#include <string>

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

constexpr std::string_view kIssued = R"({
  "apiVersion": "cert-manager.io/v1",
  "kind": "Certificate",
  "metadata": {"name": "web", "namespace": "shop", "uid": "uid-1",
               "creationTimestamp": "1970-01-01T00:16:40Z"},
  "spec": {"secretName": "web-tls", "dnsNames": ["shop.test"],
           "issuerRef": {"name": "ca", "kind": "ClusterIssuer", "group": "cert-manager.io"}},
  "status": {
    "conditions": [
      {"type": "Issuing", "status": "True", "reason": "Renewing"},
      {"type": "Ready", "status": "False", "reason": "DoesNotExist",
       "lastTransitionTime": "1970-01-01T01:00:00.5Z"}],
    "notAfter": "2026-11-23T13:10:00Z",
    "renewalTime": "2026-10-24T15:10:00+02:00",
    "revision": 3}
})";

TEST(CertificateObject, ReadsAllFields) {
  const ManagedCertificate web = read_managed_certificate(kIssued);
  EXPECT_EQ(web.key(), "shop/web");
  EXPECT_EQ(web.uid, "uid-1");
  EXPECT_EQ(web.created, 1000);
  EXPECT_EQ(web.issuer_name, "ca");
  EXPECT_EQ(web.issuer_kind, "ClusterIssuer");
  EXPECT_EQ(web.issuer_group, "cert-manager.io");
  EXPECT_EQ(web.ready, "False");
  EXPECT_EQ(web.ready_reason, "DoesNotExist");
  EXPECT_EQ(web.ready_since, 3600.5);
  EXPECT_EQ(web.expires, 1795439400);
  EXPECT_EQ(web.renews, 1795439400 - 30 * 86'400);
}

TEST(CertificateObject, HasNoDatesIfItWasNeverIssued) {
  for (const std::string_view status :
       {"", R"(, "status": {})", R"(, "status": null)", R"(, "status": {"notAfter": null})"}) {
    const std::string json = R"({"metadata": {"name": "web"})" + std::string(status) + "}";
    const ManagedCertificate web = read_managed_certificate(json);
    EXPECT_EQ(web.expires, std::nullopt) << json;
    EXPECT_EQ(web.renews, std::nullopt);
    EXPECT_EQ(web.ready, "Unknown");
  }
}

TEST(CertificateObject, IgnoresFieldsOfAnotherType) {
  const ManagedCertificate web = read_managed_certificate(R"({
    "metadata": {"name": "web", "namespace": 7, "uid": []},
    "spec": {"issuerRef": "ca"},
    "status": {"notAfter": 1795439400, "renewalTime": "soon",
               "conditions": [1, null, {"type": "Ready", "status": "Perhaps"}]}})");
  EXPECT_EQ(web.namespace_name, "");
  EXPECT_EQ(web.issuer_name, "");
  EXPECT_EQ(web.expires, std::nullopt);
  EXPECT_EQ(web.renews, std::nullopt);
  EXPECT_EQ(web.ready, "Unknown") << "the status has three values";
}

TEST(CertificateObject, RejectsMalformedObjects) {
  std::string deep(10'000, '[');
  for (const std::string& json :
       {std::string(), std::string("{"), std::string("[]"), std::string("\"web\""),
        std::string("{}"), std::string(R"({"metadata": {}})"),
        std::string(R"({"metadata": {"name": 1}})"), std::string(kIssued.substr(0, 300)), deep}) {
    try {
      read_managed_certificate(json);
      ADD_FAILURE() << json.substr(0, 40);
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), Reason::protocol);
    }
  }
}

}  // namespace
}  // namespace vitalsd::kubernetes
