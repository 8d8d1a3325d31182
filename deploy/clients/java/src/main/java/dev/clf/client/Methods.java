package dev.clf.client;

import clf.v1.Classification;
import clf.v1.ClassifyBatchRequest;
import clf.v1.ClassifyBatchResponse;
import clf.v1.Document;
import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.protobuf.ProtoUtils;

/**
 * The methods of the service. Two of them need no generated stub, whose generator is published per platform and behind
 * the libraries.
 */
final class Methods {
    static final String SERVICE = "clf.v1.Classifier";

    static final MethodDescriptor<Document, Classification> CLASSIFY =
            unary("Classify", Document.getDefaultInstance(), Classification.getDefaultInstance());

    static final MethodDescriptor<ClassifyBatchRequest, ClassifyBatchResponse> CLASSIFY_BATCH = unary(
            "ClassifyBatch", ClassifyBatchRequest.getDefaultInstance(), ClassifyBatchResponse.getDefaultInstance());

    private Methods() {}

    private static <Q extends Message, R extends Message> MethodDescriptor<Q, R> unary(
            String name, Q request, R reply) {
        return MethodDescriptor.newBuilder(ProtoUtils.marshaller(request), ProtoUtils.marshaller(reply))
                .setFullMethodName(MethodDescriptor.generateFullMethodName(SERVICE, name))
                .setType(MethodType.UNARY)
                .setIdempotent(true)
                .build();
    }
}
