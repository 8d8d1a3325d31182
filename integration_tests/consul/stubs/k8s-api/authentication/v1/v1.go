// Package v1 holds the review of a token, as far as Consul looks at it; go.mod says why.
package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// A review and its parts.
type (
	TokenReview struct {
		metav1.TypeMeta
		metav1.ObjectMeta
		Spec   TokenReviewSpec
		Status TokenReviewStatus
	}
	TokenReviewSpec   struct{ Token string }
	TokenReviewStatus struct {
		Authenticated bool
		Error         string
		User          UserInfo
	}
	UserInfo struct {
		Username, UID string
		Groups        []string
	}
)
