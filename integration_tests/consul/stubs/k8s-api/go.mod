// Stands in for the types of Kubernetes. Consul checks tokens of Kubernetes with them where it is told to; the tests have
// no tokens.
module k8s.io/api

go 1.21

require k8s.io/apimachinery v0.16.9
