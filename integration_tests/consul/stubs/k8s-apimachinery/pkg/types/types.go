// Package types holds one type of Kubernetes; the go.mod of k8s-api says why.
package types

// UID is an identifier.
type UID string
