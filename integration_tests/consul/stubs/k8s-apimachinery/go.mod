// Stands in for the types that the types of Kubernetes are made of; see k8s-api.
module k8s.io/apimachinery

go 1.21
