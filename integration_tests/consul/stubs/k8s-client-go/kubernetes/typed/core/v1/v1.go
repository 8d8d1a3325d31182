// Package v1 names the calls that read accounts; none is ever made. The go.mod of k8s-api says why.
package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Who can read accounts, and how.
type (
	ServiceAccountsGetter interface {
		ServiceAccounts(namespace string) ServiceAccountInterface
	}
	ServiceAccountInterface interface {
		Get(name string, options metav1.GetOptions) (*corev1.ServiceAccount, error)
	}
)
